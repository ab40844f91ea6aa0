//! The failure corpus: nights in which it is known what broke, read as the console reads, and how often it says so rightly.
//!
//! What broke is written down by what broke it (the sandbox's labels); no rule of the console has a part in that.

mod look;
mod night;
mod old_shapes;
mod score;
mod secrets;
mod seeds;

use nightdesk::sandbox::app::Manner;
use score::Score;

/// Every night of these seeds, in both manners of the application.
async fn half(name: &str, seeds: &[u64]) -> Score {
    let mut all = Score::default();
    for seed in seeds {
        for manner in [Manner::Swallowing, Manner::Honest] {
            let night = night::night(*seed, manner).await;
            let survey = look::through(&night).await;
            let score = Score::of(&night.labels, &survey);
            println!("{name}, seed {seed}, {manner:?}: {score}");
            all.add(score);
            night.sandbox.stop().await;
        }
    }
    println!("{name}: {all}");
    for wrong in &all.wrong {
        println!("    {wrong}");
    }
    all
}

fn good_enough(score: &Score) {
    assert!(score.missing.precision() >= 0.98 && score.missing.recall() >= 0.98, "missing: {score}");
    assert!(score.contradicted.precision() >= 0.98 && score.contradicted.recall() >= 0.98, "contradicted: {score}");
    assert!(score.cause() >= 0.95, "causes: {score}");
    assert_eq!(score.false_alarms, 0, "what is right is called wrong: {score}");
}

/// The half that the rules were written with.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "six sandboxes; a minute or some"]
async fn the_tuned_half() {
    let score = half("tuned", &seeds::TUNED).await;
    assert!(score.events >= 500, "{score}");
    good_enough(&score);
}

/// The half that they were not.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "six sandboxes; a minute or some"]
async fn the_held_out_half() {
    let score = half("held out", &seeds::HELD_OUT).await;
    assert!(score.events >= 500, "{score}");
    good_enough(&score);
}

/// One seed of it, so that every run of the tests sees the rules at work.
#[tokio::test(flavor = "multi_thread")]
async fn one_seed_is_told_rightly_in_both_manners() {
    good_enough(&half("one seed", &seeds::TUNED[..1]).await);
}
