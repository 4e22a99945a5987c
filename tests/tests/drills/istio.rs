//! Plays the drill in a real Istio 1.31 without output, where one can be had: as root, with what set-up builds with Go.
//! `cargo xtask drill istio` shows it. See [`lab::drill::istio`].

use anyhow::Result;
use lab::drill::Screen;
use lab::drill::istio::{self, Step};
use lab::istio::{Branch, obstacle};
use lab::skip::{Tool, skip};

#[test]
fn in_a_real_istio_everything_that_happens_is_told_and_nothing_else() -> Result<()> {
    if let Some(why) = obstacle(Branch::V1_31) {
        skip("the drill in a real Istio", Tool::Optional, &why);
        return Ok(());
    }
    let _machine = crate::machine();
    let outcome = istio::play(Branch::V1_31, &Step::ALL, Screen::quiet())?;
    assert!(outcome.wrong.is_empty(), "{}\n{outcome}", outcome.wrong.join("\n"));
    Ok(())
}
