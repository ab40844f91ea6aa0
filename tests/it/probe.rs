//! The endpoint probe and the writes that go with it: against the sample application in both manners, and against servers that are wrong.

mod endpoint;
mod hands;
mod servers;

use crate::bench::Bench;
use nightdesk::config::Config;
use nightdesk::domain::webhooks::endpoint::Endpoint;
use nightdesk::domain::webhooks::probe::{Assessment, Finding, Probed, Surroundings, assess};
use nightdesk::gateway::journal::Journal;
use nightdesk::gateway::sources::Sources;
use nightdesk::gateway::stripe::Priority;
use nightdesk::protocol::query::{Query, Reply};
use std::sync::Arc;

/// The bench's configuration, with policy for all that needs some.
fn config(bench: &Bench) -> Config {
    let variables = bench.environment();
    let lookup = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| v.clone());
    let mut config = Config::load(None, None, &lookup).expect("the bench's variables are a configuration");
    config.policy.signed_probe = true;
    config.policy.deliver = true;
    config
}

fn open(config: Config) -> Sources {
    Sources::open(Arc::new(config))
}

async fn endpoints(sources: &Sources) -> Option<Vec<Endpoint>> {
    match sources.ask(Query::Endpoints, Priority::Interactive).await {
        Ok(Reply::Endpoints(all)) => Some(all),
        _ => None,
    }
}

async fn probed(sources: &Sources) -> (Probed, Assessment) {
    let state = tempfile::tempdir().expect("a directory");
    let journal = Journal::open(state.path(), "test", "ada", None).expect("a journal");
    let probed = match sources.probe(&journal).await.expect("a probe") {
        Reply::Probed(probed) => probed,
        other => panic!("{other:?}"),
    };
    let registered = endpoints(sources).await;
    let around = Surroundings { endpoints: registered.as_deref(), configured: sources.config.webhook_url.as_deref() };
    let said = assess(&probed, &around);
    (probed, said)
}

/// What was found, the worst first.
async fn findings(sources: &Sources) -> Vec<Finding> {
    probed(sources).await.1.found.into_iter().map(|f| f.finding).collect()
}
