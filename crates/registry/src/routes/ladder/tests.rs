//! Strategies, regions and residencies of routes.

use domain::residency::Residency;

use super::*;
use crate::routes::Routes;
use crate::routes::tests::settings;

/// Two models of `openai`, one of `cloud`, and a route `r` of one tier that says this.
fn built(tier: &str) -> Result<RouteTier, String> {
    let text = format!(
        "[models.\"openai/a\"]\nquality = 60\n[models.\"openai/b\"]\nquality = 90\n[models.\"cloud/c\"]\n\
         [[routes.r.tiers]]\nname = \"primary\"\n{tier}"
    );
    let routes = Routes::build(&settings(&text)).map_err(|reasons| reasons.join("; "))?;
    Ok(routes.routes[&RouteName::from("r")].tiers[0].clone())
}

const TWO: &str = "targets = [{ model = \"openai/a\" }, { model = \"openai/b\" }]";

#[test]
fn every_strategy_has_a_name_and_weighted_is_the_default() {
    let floor = |prefer| Strategy::QualityFloor { floor: Quality(80), prefer };
    for (settings, want) in [
        ("", Strategy::Weighted(Sticky::On)),
        ("strategy = \"priority\"", Strategy::Priority),
        ("strategy = \"weighted\"\nsticky = \"off\"", Strategy::Weighted(Sticky::Off)),
        ("strategy = \"least_latency\"", Strategy::LeastLatency),
        ("strategy = \"lowest_cost\"", Strategy::LowestCost),
        ("strategy = \"quality_floor\"\nquality_min = 80", floor(Prefer::Cheapest)),
        ("strategy = \"quality_floor\"\nquality_min = 80\nprefer = \"fastest\"", floor(Prefer::Fastest)),
    ] {
        let tier = built(&format!("{settings}\n{TWO}")).expect(settings);
        assert_eq!(tier.strategy, want, "{settings}");
    }
    let tier = built(
        "strategy = \"by_difficulty\"\ntargets = [{ model = \"openai/a\", takes = \"easy\" }, { model = \"openai/b\", takes = \"hard\" }]",
    );
    let tier = tier.expect("valid");
    let takes: Vec<_> = tier.targets.iter().map(|target| target.takes).collect();
    assert_eq!(
        (tier.strategy, takes),
        (Strategy::ByDifficulty, vec![Some(Difficulty::Easy), Some(Difficulty::Hard)])
    );
}

#[test]
fn what_a_strategy_does_not_read_is_refused() {
    let easy = "targets = [{ model = \"openai/a\", takes = \"easy\" }, { model = \"openai/b\" }]";
    for (tier, want) in [
        (format!("quality_min = 1\n{TWO}"), "mean something"),
        (format!("strategy = \"priority\"\nsticky = \"on\"\n{TWO}"), "`sticky` means something"),
        (format!("prefer = \"fastest\"\n{TWO}"), "mean something"),
        (format!("strategy = \"quality_floor\"\n{TWO}"), "needs a `quality_min`"),
        (format!("strategy = \"quality_floor\"\nquality_min = 101\n{TWO}"), "needs a `quality_min`"),
        (format!("strategy = \"quality_floor\"\nquality_min = 91\n{TWO}"), "no target has a `quality`"),
        (format!("strategy = \"by_difficulty\"\n{TWO}"), "needs `takes` in each target"),
        (format!("strategy = \"by_difficulty\"\n{easy}"), "needs `takes` in each target"),
        (easy.to_owned(), "`takes` means something"),
        (
            "strategy = \"priority\"\ntargets = [{ model = \"openai/a\", weight = 2 }]".to_owned(),
            "a `weight` means something",
        ),
        ("targets = [{ model = \"openai/a\" }, { model = \"openai/a\" }]".to_owned(), "`openai/a` twice"),
        ("targets = [{ model = \"openai/a\", region = \"mars\" }]".to_owned(), "has no region `mars`"),
        (
            "targets = [{ model = \"embedded/default\", region = \"mars\" }]".to_owned(),
            "has no region `mars`",
        ),
        ("targets = [{ model = \"cloud/c\", region = \"a b\" }]".to_owned(), "letters, digits"),
        (
            "targets = [{ model = \"cloud/c\", region = \"frankfurt\" }]".to_owned(),
            "has no region `frankfurt`",
        ),
        ("targets = [{ model = \"openai/a\", residency = [\"\"] }]".to_owned(), "a place is 1 to 32"),
        (
            "targets = [{ model = \"embedded/default\", residency = [\"eu\"] }]".to_owned(),
            "needs no residency",
        ),
    ] {
        let said = built(&tier).expect_err(&tier);
        assert!(said.contains(want), "{tier}: {said}");
    }
}

#[test]
fn regions_are_targets_of_their_own_and_say_where_they_are() {
    let tier = built(
        "targets = [{ model = \"openai/a\" }, { model = \"openai/a\", region = \"frankfurt\" }, { model = \"openai/a\", region = \"tokyo\" }, { model = \"cloud/c\", region = \"us-west-2\", residency = [\"us\", \"ca\"] }, { model = \"cloud/c\" }, { model = \"embedded/default\" }]",
    );
    let targets = tier.expect("valid").targets;
    let ids: Vec<_> = targets.iter().map(|target| target.id.as_str()).collect();
    let want = [
        "openai/a",
        "openai/a@frankfurt",
        "openai/a@tokyo",
        "cloud/c@us-west-2",
        "cloud/c",
        "embedded/default",
    ];
    assert_eq!(ids, want);
    let within = |names: &[&str]| {
        let residency = Residency::parse(Some(names.iter().copied())).expect("places");
        let within = targets.iter().filter(|target| target.is_within(&residency));
        within.map(|target| target.id.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(within(&["us"]), ["openai/a", "embedded/default"]);
    assert_eq!(within(&["eu"]), ["openai/a@frankfurt", "embedded/default"]);
    assert_eq!(within(&["us", "ca"]), ["openai/a", "cloud/c@us-west-2", "embedded/default"]);
    assert_eq!(within(&[]), ["embedded/default"]);
}

#[test]
fn a_target_is_in_one_place_whatever_route_names_it() {
    let route = |name: &str, residency: &str| {
        format!(
            "[[routes.{name}.tiers]]\nname = \"primary\"\ntargets = [{{ model = \"cloud/c\", residency = {residency} }}]\n"
        )
    };
    let text = |other: &str| {
        let routes = route("a", "[\"eu\"]") + &route("b", other);
        settings(&format!("[models.\"cloud/c\"]\n{routes}"))
    };
    assert!(Routes::build(&text("[\"EU\"]")).is_ok());
    let reasons = Routes::build(&text("[\"us\"]")).expect_err("two places");
    assert_eq!(reasons, ["[routes.b]: `cloud/c` has another residency than in another route"]);
}
