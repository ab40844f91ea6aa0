//! Determinism, inverse look-ups and the mix of the population.

use super::*;

fn population(seed: u64, customers: u64) -> Population {
    Population::new(seed, customers, DateTime::from_timestamp(1_790_000_000, 0).expect("valid"))
}

#[test]
fn the_same_seed_makes_the_same_people_and_another_seed_others() {
    let (a, b, c) = (population(7, 500), population(7, 500), population(8, 500));
    assert!((0..500).all(|n| a.person(n) == b.person(n)));
    assert!((0..500).all(|n| a.person(n).profile != c.person(n).profile));
}

#[test]
fn ids_and_addresses_lead_back_to_their_person() {
    let p = population(3, 2_000);
    for n in 0..p.len() {
        let person = p.person(n);
        assert_eq!(p.email_number(&person.email), Some(n), "{}", person.email);
        if let Some(id) = &person.customer {
            assert_eq!(p.customer_number(id), Some(n));
            assert_eq!(p.subscription_number(id), None);
        }
        if let Some(paid) = &person.plan {
            for id in [&paid.subscription, &paid.item, &paid.invoice, &paid.payment_intent, &paid.session] {
                assert_eq!(p.subscription_number(id), Some(n), "{id}");
            }
        }
        assert_eq!(p.customer_number(&person.placeholder()), None);
    }
    assert_eq!(p.email_number("nobody@example.com"), None);
}

#[test]
fn the_mix_is_as_documented_and_time_runs_with_the_number() {
    let p = population(42, 2_000);
    let people: Vec<_> = (0..p.len()).map(|n| p.person(n)).collect();
    let live = |t| people.iter().filter_map(|x| x.plan.as_ref()).filter(|x| x.status != "canceled" && x.tier == t).count();
    let status = |s| people.iter().filter_map(|x| x.plan.as_ref()).filter(|x| x.status == s).count();
    assert!((420..560).contains(&live(SandboxTier::Pro)), "{}", live(SandboxTier::Pro));
    assert!((50..120).contains(&live(SandboxTier::Enterprise)), "{}", live(SandboxTier::Enterprise));
    for (word, least) in [("active", 400), ("trialing", 3), ("past_due", 5), ("canceled", 15)] {
        assert!(status(word) >= least, "{word}: {}", status(word));
    }
    assert!((600..800).contains(&people.iter().filter(|x| x.customer.is_none()).count()));
    assert!(people.iter().any(|x| !x.email_in_profile) && people.iter().any(|x| !x.name.is_ascii()));
    assert!(people.windows(2).all(|w| w[0].created <= w[1].created));
    assert!(people.iter().filter_map(|x| x.plan.as_ref()).all(|x| x.status == "canceled" || x.period_end > p.born()));
    assert!(people.iter().all(|x| x.created < p.born()));
}

#[test]
fn nobody_renews_in_the_hours_before_the_start() {
    let p = population(42, 20_000);
    let quiet = (p.born().timestamp() - QUIET + JOIN_MINUTES * 60)..=p.born().timestamp();
    let paid: Vec<Paid> = (0..p.len()).filter_map(|n| p.person(n).plan).collect();
    let before = paid.iter().filter(|x| quiet.start() - QUIET < x.period_start.timestamp() && x.period_start.timestamp() < *quiet.start());
    assert!(before.count() > 5);
    assert!(paid.iter().all(|x| !quiet.contains(&x.period_start.timestamp()) && x.ended.is_none_or(|e| !quiet.contains(&e.timestamp()))));
}
