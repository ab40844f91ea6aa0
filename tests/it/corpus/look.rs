//! The console's look at a night: the survey, driven as the screen drives it, through the real reader; and the probe that an operator asks for.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use chrono::{Duration, Utc};
use nightdesk::config::Config;
use nightdesk::domain::webhooks::deploy;
use nightdesk::gateway::reader::Reader;
use nightdesk::procedures::survey::{Moment, Survey};
use nightdesk::protocol::query::{Query, Reply};
use nightdesk::sandbox::Sandbox;

use super::night::Night;
use super::old_shapes;

/// What the console may look at.
#[derive(Debug, Clone, Copy)]
pub struct Sight {
    pub log: bool,
    pub probe: bool,
    /// How far back, in hours.
    pub hours: i64,
    /// By how many seconds it is later than it is.
    pub ahead: i64,
}

/// As far as Stripe's list reaches.
pub const A_MONTH: i64 = 30 * 24 - 1;
/// A round of the survey, in milliseconds of its own clock.
const ROUND: u64 = 16_000;
/// Far more rounds than it takes.
const ROUNDS: u64 = 60;

/// Everything is there; a part of the events comes in the shapes of old API versions.
pub async fn through(night: &Night) -> Survey {
    let base = old_shapes::before(night.sandbox.simulator().base_url()).await;
    at(&night.sandbox, Some(base), Sight { log: true, probe: true, hours: A_MONTH, ahead: 0 }).await
}

/// Looks until nothing changes any more.
pub async fn at(sandbox: &Sandbox, base: Option<String>, sight: Sight) -> Survey {
    let state = tempfile::tempdir().unwrap();
    let variables = sandbox.environment();
    let lookup = |name: &str| match name {
        "STRIPE_API_BASE" if base.is_some() => base.clone(),
        "APP_LOG" if !sight.log => None,
        // What is started in the sandbox is no business of the console here.
        "NIGHTDESK_CONFIG" => None,
        _ => variables.iter().find(|(n, _)| *n == name).map(|(_, v)| v.clone()),
    };
    let config = Config::load(None, None, &lookup).expect("the sandbox's variables are a configuration");
    let reader = Reader::open(Arc::new(config), state.path());
    let (env, sources) = (reader.sources().environment(), BTreeMap::new());
    let mut survey = Survey::default();
    survey.set_range(sight.hours, Utc::now());
    survey.deployed(deploy::parse(&std::fs::read_to_string(sandbox.app().deploys()).unwrap()).unwrap_or_default());
    if sight.probe
        && let Ok(Reply::Probed(probed)) = reader.ask(Query::Probe).await
    {
        survey.probed(probed, Utc::now());
    }
    let mut calm = 0;
    for round in 0..ROUNDS {
        let moment = || Moment { now: Utc::now() + Duration::seconds(sight.ahead), tick: round * ROUND, env: &env, sources: &sources };
        let before = survey.version();
        let mut asks: VecDeque<Query> = survey.ticked(&moment()).into();
        while let Some(query) = asks.pop_front() {
            let result = reader.ask(query.clone()).await;
            if let Err(fault) = &result {
                println!("{}: {fault}", format!("{query:?}").chars().take(60).collect::<String>());
            }
            asks.extend(survey.replied(&query, &result, &moment()));
        }
        let p = survey.progress();
        let done = p.complete && p.rows_left == 0 && p.unconfirmed == 0 && survey.is_complete();
        calm = if done && survey.version() == before { calm + 1 } else { 0 };
        if calm == 2 {
            reader.close().await;
            return survey;
        }
    }
    panic!("it does not come to rest: {:?}, {:?}", survey.progress(), survey.fault());
}
