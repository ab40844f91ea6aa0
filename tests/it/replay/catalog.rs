//! Catalogues whose events do not tell which tier is due: mapped by price id in the configuration, or on the product alone.

use crate::bench::{Bench, Options, Payer, http};
use crate::command::Desk;
use nightdesk::sandbox::incidents::Incident;
use nightdesk::sandbox::population::{PRICE_ENT_MONTH, PRICE_ENT_YEAR, PRICE_PRO_MONTH, PRICE_PRO_YEAR};

const PRICES: [&str; 4] = [PRICE_PRO_MONTH, PRICE_PRO_YEAR, PRICE_ENT_MONTH, PRICE_ENT_YEAR];

async fn change(bench: &Bench, path: &str, form: &str) {
    let request = http().post(format!("{}/v1/{path}", bench.simulator.base_url())).bearer_auth(bench.simulator.secret_key());
    let request = request.header("Content-Type", "application/x-www-form-urlencoded").body(form.to_string());
    assert_eq!(request.send().await.unwrap().status(), 200, "{path}");
}

/// Prices whose metadata is about something else, and customers who paid them unheard.
async fn unheard() -> (Bench, Vec<Payer>) {
    let bench = Bench::start(Options::default()).await;
    for price in PRICES {
        change(&bench, &format!("prices/{price}"), "metadata[tier]=&metadata[family]=2026").await;
    }
    let labels = bench.strike(Incident::MissedWebhooks, 12).await;
    (bench, labels)
}

/// The review of all of them; how many subscriptions were retrieved for it.
async fn reviewed(bench: &Bench, desk: &Desk) -> usize {
    let plan = desk.say(&["replay", "--since", "2d", "--dry-run", "--json"]).await.well();
    assert_eq!(plan["plan"]["confirm"], "12", "{plan:#}");
    assert!(!plan["plan"]["notes"].to_string().contains("mapped to no tier"), "{plan:#}");
    let requests = bench.simulator.requests();
    requests.iter().filter(|r| r.method == "GET" && r.path.starts_with("/v1/subscriptions/sub_")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_tier_on_the_product_one_subscription_is_retrieved_for_each_price() {
    let (bench, labels) = unheard().await;
    let desk = Desk::of(&bench).configured("[stripe]\nresends_per_s = 20\nbackground_per_s = 50\n");
    let retrieved = reviewed(&bench, &desk).await;
    assert!((1..=PRICES.len()).contains(&retrieved), "{retrieved} retrieved");
    let replay = ["replay", "--since", "2d", "--confirm", "12", "--reason", "a test", "--json"];
    assert_eq!(desk.say(&replay).await.well()["state"], "done");
    for label in &labels {
        assert!(bench.ground.repaired(label).await.unwrap(), "{label:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_prices_that_are_mapped_by_their_ids_none_is_retrieved() {
    let (bench, _) = unheard().await;
    for product in ["prod_pro", "prod_enterprise"] {
        change(&bench, &format!("products/{product}"), "metadata[tier]=").await;
    }
    let tiers = PRICES.map(|p| format!("{p} = \"{}\"\n", if p.contains("ent") { "ENTERPRISE" } else { "PRO" })).concat();
    let desk = Desk::of(&bench).configured(&format!("[stripe]\nbackground_per_s = 50\n[tiers.prices]\n{tiers}"));
    assert_eq!(reviewed(&bench, &desk).await, 0);
}
