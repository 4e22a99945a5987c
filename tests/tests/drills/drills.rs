//! Plays each drill once, with the Envoy that set-up found and without output; `cargo xtask drill` shows one. See
//! [`lab::drill`].

use anyhow::Result;
use lab::drill::{Drill, Screen};

fn play(drill: Drill) -> Result<()> {
    let _machine = crate::machine();
    let outcome = drill.play(None, Screen::quiet())?;
    assert!(outcome.is_right(), "{}\n{outcome}", outcome.wrong.join("\n"));
    assert!(outcome.ejections() > 0, "nothing was ejected, so nothing was drilled\n{outcome}");
    Ok(())
}

#[test]
fn services_fail_over_across_zones_and_regions_and_every_sidecar_tells_its_own_story() -> Result<()> {
    play(Drill::Zones)
}

#[test]
fn endpoints_outside_the_mesh_fail_over_by_name_and_with_tls() -> Result<()> {
    play(Drill::External)
}

#[test]
fn configuration_source_and_admin_interface_go_away_in_mid_outage_and_nothing_is_lost() -> Result<()> {
    play(Drill::ControlPlaneLoss)
}
