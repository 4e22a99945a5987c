//! Plays the drill hot-switch without output, where network namespaces can be made. See [`lab::drill::hot_switch`].

use anyhow::Result;
use lab::drill::{Screen, hot_switch};
use lab::programs::tools::Tool as Program;
use lab::skip::{Tool, skip};

fn obstacle() -> Option<String> {
    hot_switch::obstacle().or_else(|| Program::HotSwitch.path().err().map(|error| format!("{error:#}")))
}

#[test]
fn traffic_goes_past_the_proxy_and_back_in_every_way_of_capture() -> Result<()> {
    if let Some(why) = obstacle() {
        skip("hot-switch in every way of capture", Tool::Optional, &why);
        return Ok(());
    }
    let _machine = crate::machine();
    let outcome = hot_switch::ways::play(&Screen::quiet())?;
    for why in &outcome.left_out {
        skip("hot-switch in a way of capture", Tool::Optional, why);
    }
    assert!(outcome.wrong.is_empty(), "{}", outcome.wrong.join("\n"));
    Ok(())
}

#[test]
fn a_service_outlives_its_sidecar() -> Result<()> {
    if let Some(why) = obstacle() {
        skip("the drill hot-switch", Tool::Optional, &why);
        return Ok(());
    }
    let _machine = crate::machine();
    let wrong = hot_switch::play(&Screen::quiet(), hot_switch::Times::Told)?;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
