//! What settings of routes are taken, and what is said of those that are not.

use domain::model::{Assured, Hedge, Tier};
use domain::money::Nanos;

use super::*;

/// `openai` is in the US with a region in the EU and one somewhere; `cloud` knows its own regions.
pub(super) fn settings(text: &str) -> Settings {
    #[derive(Deserialize)]
    struct Whole {
        #[serde(default)]
        models: BTreeMap<String, ModelConfig>,
        #[serde(default)]
        aliases: BTreeMap<String, String>,
        #[serde(default)]
        routes: BTreeMap<String, RouteConfig>,
    }
    let whole: Whole = toml::from_str(text).expect("valid TOML");
    let places = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let openai = ProviderPlaces {
        residency: places(&["us"]),
        regions: BTreeMap::from([
            ("frankfurt".to_owned(), places(&["EU"])),
            ("tokyo".to_owned(), Vec::new()),
        ]),
        other_regions: OtherRegions::None,
    };
    let cloud = ProviderPlaces { other_regions: OtherRegions::Known, ..ProviderPlaces::default() };
    Settings {
        models: whole.models,
        aliases: whole.aliases,
        routes: whole.routes,
        providers: BTreeMap::from([("openai".to_owned(), openai), ("cloud".to_owned(), cloud)]),
        ..Settings::default()
    }
}

#[test]
fn a_stream_can_be_assured_and_goes_on_elsewhere_only_where_there_is_an_elsewhere() {
    let route = |more: &str, n_targets: usize| {
        let target = |n: usize| {
            format!("[[routes.r.tiers]]\nname = \"primary\"\ntargets = [{{ model = \"embedded/m{n}\" }}]\n")
        };
        let tiers: String = (0..n_targets).map(target).collect();
        Routes::build(&settings(&format!("[routes.r]\n{more}\n{tiers}")))
    };
    for (more, n_targets, want) in [
        ("", 1, Assured::Off),
        ("assured = \"hold_back\"", 1, Assured::HoldBack),
        ("assured = \"continue\"", 2, Assured::Continue),
    ] {
        let routes = route(more, n_targets).expect("valid");
        assert_eq!(routes.routes[&RouteName::from("r")].assured, want, "{more}");
    }
    let reasons = route("assured = \"continue\"", 1).expect_err("nobody else");
    assert!(reasons[0].contains("needs a second target"), "{reasons:?}");
}

#[test]
fn a_route_is_built_with_its_tiers() {
    let routes = Routes::build(&settings(
        r#"
        [models."openai/gpt-4o-mini"]
        slow_ms = 4_000
        price_input_per_million = 0.15
        price_output_per_million = 0.60
        [aliases]
        "gpt-4o-mini" = "standard"
        [[routes.standard.tiers]]
        name = "primary"
        targets = [{ model = "openai/gpt-4o-mini" }]
        [[routes.standard.tiers]]
        name = "fallback"
        targets = [{ model = "embedded/default" }]
        overrides = { max_tokens = 120 }
        "#,
    ))
    .expect("valid");
    let route = &routes.routes[&RouteName::from("standard")];
    assert_eq!(route.tiers[0].tier, Tier::Primary);
    assert_eq!(route.tiers[0].targets[0].slow, Some(Duration::from_secs(4)));
    assert_eq!(route.tiers[1].targets[0].slow, None, "never for a model that runs here");
    assert_eq!(route.tiers[1].tier, Tier::Embedded, "whoever runs it names the tier");
    assert_eq!(route.tiers[1].overrides.max_tokens, Some(120));
    let prices = &routes.models[&ModelId::from("openai/gpt-4o-mini")].prices.0[0];
    assert_eq!(prices.rates.input_per_million, Nanos(150_000_000));
}

#[test]
fn a_route_is_hedged_when_it_says_so() {
    let text = r#"
        [models."openai/a"]
        [models."openai/b"]
        [routes.r]
        hedge = "on"
        tiers = [{ name = "primary", targets = [{ model = "openai/a" }, { model = "openai/b" }] }]
        [routes.plain]
        tiers = [{ name = "primary", targets = [{ model = "openai/a" }, { model = "openai/b" }] }]
    "#;
    let routes = Routes::build(&settings(text)).expect("valid").routes;
    assert_eq!(routes[&RouteName::from("r")].hedge, Hedge::On);
    assert_eq!(routes[&RouteName::from("plain")].hedge, Hedge::Off);
}

#[test]
fn every_mistake_is_named() {
    for (text, want) in [
        ("[models.\"gpt\"]", "write the model as"),
        ("[models.\"azure/gpt\"]", "no provider `azure`"),
        ("[models.\"openai/gpt\"]\nprice_input_per_million = 1.0", "or neither"),
        (
            "[models.\"openai/gpt\"]\nprice_input_per_million = -1.0\nprice_output_per_million = 1.0",
            "is no price",
        ),
        ("[models.\"openai/gpt\"]\nslow_ms = 0", "slow_ms: must be 1 to"),
        ("[models.\"openai/gpt\"]\nquality = 101", "quality: must be 0 to 100"),
        ("[models.\"embedded/default\"]\nslow_ms = 900", "runs itself takes the time"),
        ("[routes.r]\ntiers = []", "no tiers"),
        ("[[routes.r.tiers]]\nname = \"primary\"\ntargets = []", "no targets"),
        (
            "[[routes.r.tiers]]\nname = \"primary\"\ntargets = [{ model = \"openai/x\" }]",
            "not in the catalogue",
        ),
        (
            "[models.\"openai/x\"]\n[[routes.r.tiers]]\nname = \"embedded\"\ntargets = [{ model = \"openai/x\" }]",
            "may only name",
        ),
        (
            "[routes.r]\nhedge = \"on\"\ntiers = [{ name = \"embedded\", targets = [{ model = \"embedded/default\" }] }]",
            "needs two targets",
        ),
        ("[aliases]\na = \"nowhere\"", "no route `nowhere`"),
        ("[aliases]\n\"\" = \"standard\"", "[aliases] \"\": clients cannot send this name"),
        ("[aliases]\n\"agent:x\" = \"standard\"", "[aliases] \"agent:x\": clients cannot send this name"),
    ] {
        let reasons = Routes::build(&settings(text)).expect_err(text);
        assert!(reasons.iter().any(|reason| reason.contains(want)), "{text}: {reasons:?}");
    }
}
