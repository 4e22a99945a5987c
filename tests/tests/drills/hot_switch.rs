//! Plays the drill hot-switch without output, where network namespaces can be made. See [`lab::drill::hot_switch`].

use anyhow::Result;
use lab::drill::{Screen, hot_switch};
use lab::programs::tools::Tool as Program;
use lab::skip::{Tool, skip};

#[test]
fn a_service_outlives_its_sidecar() -> Result<()> {
    let missing = hot_switch::obstacle().or_else(|| Program::HotSwitch.path().err().map(|error| format!("{error:#}")));
    if let Some(why) = missing {
        skip("the drill hot-switch", Tool::Optional, &why);
        return Ok(());
    }
    let _machine = crate::machine();
    let wrong = hot_switch::play(&Screen::quiet(), hot_switch::Times::Told)?;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
