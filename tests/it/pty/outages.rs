//! A source that hangs: keys are answered as before, none is lost, the source turns STALE and then DOWN, the rest goes on, and it comes back by itself.

use super::{Console, QUIET, busy};
use crate::bench::{Payer, executable, home};
use nightdesk::sandbox::app::{App, AppOptions, Manner};
use nightdesk::sandbox::cluster::{Cluster, ClusterOptions};
use nightdesk::sandbox::incidents::{Ground, Incident};
use nightdesk::sandbox::population::Population;
use nightdesk::sandbox::schema::roles::{self, CONSOLE};
use nightdesk::sandbox::schema::{self, Shape};
use nightdesk::sandbox::stripe::{Effect, Rule, Simulator, SimulatorOptions};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::postgres::PgPoolOptions;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A key that takes this long was lost: generous, since other tests run beside this one.
const LOST: Duration = Duration::from_secs(2);

/// What was seen of a source while keys were pressed.
struct Watch {
    latencies: Vec<Duration>,
    stale: Option<Duration>,
    down: Option<Duration>,
}

/// Moves the selection up and down until `done`, at a hand's pace; every key must move it.
fn press_until(console: &mut Console, source: &str, done: impl Fn(&Watch) -> bool) -> Watch {
    let start = Instant::now();
    let mut watch = Watch { latencies: Vec::new(), stale: None, down: None };
    while !done(&watch) {
        assert!(start.elapsed() < Duration::from_secs(60), "it takes for ever; the screen is\n{}", console.screen());
        let at = console.selection().expect("something is selected");
        let first = console.screen().lines().position(|l| l[l.char_indices().nth(1).map_or(0, |(i, _)| i)..].starts_with("FAIL"));
        let key = if Some(at) == first { "\x1b[B" } else { "\x1b[A" };
        let pressed = Instant::now();
        console.send(key);
        while console.selection() == Some(at) {
            assert!(pressed.elapsed() < LOST, "a key was lost; the screen is\n{}", console.screen());
            std::thread::sleep(Duration::from_micros(300));
        }
        watch.latencies.push(pressed.elapsed());
        let screen = console.screen();
        let shown = |word: &str| screen.contains(&format!("{source} {word}"));
        if shown("STALE") && watch.stale.is_none() {
            watch.stale = Some(start.elapsed());
        }
        if shown("DOWN") && watch.down.is_none() {
            watch.down = Some(start.elapsed());
        }
        std::thread::sleep(Duration::from_millis(40));
    }
    watch
}

fn report(what: &str, watch: &Watch) {
    let mut sorted = watch.latencies.clone();
    sorted.sort();
    let at = |share: f64| sorted[((sorted.len() as f64 * share) as usize).min(sorted.len() - 1)];
    eprintln!(
        "{what}: {} keys, median {:?}, p99 {:?}, worst {:?}; stale after {:?}, down after {:?}",
        sorted.len(),
        at(0.5),
        at(0.99),
        at(1.0),
        watch.stale,
        watch.down
    );
}

/// Types into the search without waiting for anything; all of it arrives.
fn type_blindly(console: &mut Console) {
    const TEXT: &str = "the quick brown fox jumps over it";
    console.send("\x1b");
    console.cost("3");
    for c in TEXT.chars() {
        console.send(&c.to_string());
        std::thread::sleep(Duration::from_millis(5));
    }
    console.wait_until("every letter", |s| s.contains(TEXT));
    console.send("\x1b");
    console.settled(QUIET);
    console.send("1");
    console.wait_for(super::PLACEHOLDER);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn stripe_accepts_and_never_answers() {
    let (bench, labels, mut console) = busy(80, 24, &[], &[]).await;
    let calm = press_until(&mut console, "stripe", |w| w.latencies.len() >= 60);
    report("calm", &calm);
    let rule = bench.simulator.faults().add(Rule::always("/v1", Effect::Hang));
    let hung = press_until(&mut console, "stripe", |w| w.down.is_some());
    report("stripe hangs", &hung);
    let (stale, down) = (hung.stale.expect("it turns stale first"), hung.down.expect("and then down"));
    assert!(stale < down, "{stale:?} {down:?}");
    assert!(stale >= Duration::from_secs(9), "two intervals without an answer, not {stale:?}");
    // The others go on, and a customer shows what the database knows.
    let screen = console.screen();
    assert!(["db 0s", "app 0s"].iter().all(|s| screen.contains(s)), "{screen}");
    type_blindly(&mut console);
    console.paste(&labels[3].profile);
    console.settled(QUIET);
    console.cost("\r");
    console.wait_until("the row", |s| s.contains("App enforces") && s.contains("FREE"));
    assert!(!console.screen().contains("FREE in the app"), "no verdict on half the facts:\n{}", console.screen());
    console.send("1");
    console.wait_for(super::PLACEHOLDER);
    assert!(bench.simulator.faults().remove(rule));
    console.wait_until("stripe again", |s| s.contains("stripe 0s") || s.contains("stripe 10s"));
    console.paste(&labels[3].profile);
    console.settled(QUIET);
    console.cost("\r");
    console.wait_for("FREE in the app");
}

/// Stops every process of a cluster, and lets them go on when dropped.
struct Frozen(Vec<Pid>);

impl Frozen {
    fn freeze(cluster: &Cluster) -> Self {
        let postmaster = cluster.postmaster();
        let mut all = vec![Pid::from_raw(i32::try_from(postmaster).unwrap())];
        kill(all[0], Signal::SIGSTOP).unwrap();
        let listed = std::process::Command::new("ps").args(["-A", "-o", "pid=,ppid="]).output().unwrap();
        for line in String::from_utf8_lossy(&listed.stdout).lines() {
            let mut numbers = line.split_whitespace().filter_map(|n| n.parse::<i32>().ok());
            if let (Some(pid), Some(parent)) = (numbers.next(), numbers.next())
                && u32::try_from(parent) == Ok(postmaster)
            {
                // One that has just ended is stopped as well.
                let _ = kill(Pid::from_raw(pid), Signal::SIGSTOP);
                all.push(Pid::from_raw(pid));
            }
        }
        Self(all)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        for pid in &self.0 {
            let _ = kill(*pid, Signal::SIGCONT);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn postgres_stops() {
    // A cluster of its own: the others' must not stop.
    let options = ClusterOptions { max_connections: 30, parent: Some(home()), ..ClusterOptions::default() };
    let cluster = tokio::task::spawn_blocking(move || Cluster::start(&options, executable())).await.unwrap().unwrap();
    let secrets = roles::create(&cluster).await.unwrap();
    roles::create_database(&cluster, "alone", None).await.unwrap();
    let population = Arc::new(Population::new(7, 300, chrono::Utc::now()));
    let superuser = roles::superuser(&cluster, "alone");
    schema::create(&superuser, Shape::default(), &population).await.unwrap();
    let simulator = Simulator::start(SimulatorOptions::new(Arc::clone(&population))).await.unwrap();
    let pool = PgPoolOptions::new().max_connections(2).connect_lazy_with(superuser);
    let app = App::start(AppOptions {
        database: cluster.url(roles::APP, &secrets.app, "alone").parse().unwrap(),
        shape: Shape::default(),
        webhook_path: "/webhooks/stripe".into(),
        webhook_secret: simulator.webhook_secret(),
        admin_token: "token".into(),
        stripe_base: simulator.base_url(),
        stripe_key: simulator.secret_key(),
        log: cluster.directory().join("app.log"),
        deploys: cluster.directory().join("deploys.jsonl"),
        manner: Manner::Swallowing,
        pool: 2,
        port: 0,
    })
    .await
    .unwrap();
    let ground = Ground::new(pool, Shape::default(), population, simulator.clone(), app);
    ground.strike(Incident::PlaceholderCustomers, 3).await.unwrap();
    let labels: Vec<Payer> = ground.strike(Incident::MissedWebhooks, 3).await.unwrap().into_iter().map(Payer::of).collect();
    let variables = [
        ("DATABASE_URL".to_string(), cluster.url(CONSOLE, &secrets.console, "alone")),
        ("STRIPE_API_BASE".to_string(), simulator.base_url()),
        ("STRIPE_SECRET_KEY".to_string(), simulator.secret_key()),
    ];
    let mut console = Console::start(&variables, 80, 24, &[]);
    console.wait_for_findings();
    console.wait_for("db 0s");

    let frozen = Frozen::freeze(&cluster);
    let hung = press_until(&mut console, "db", |w| w.down.is_some());
    report("postgres stopped", &hung);
    let (stale, down) = (hung.stale.expect("it turns stale first"), hung.down.expect("and then down"));
    assert!(stale < down, "{stale:?} {down:?}");
    assert!(stale >= Duration::from_secs(4), "two intervals without an answer, not {stale:?}");
    assert!(console.screen().contains("stripe 0s") || console.screen().contains("stripe 10s"), "{}", console.screen());
    type_blindly(&mut console);
    console.paste(&labels[0].expected.customer);
    console.settled(QUIET);
    console.cost("\r");
    console.wait_until("what Stripe knows", |s| s.contains("PRO") || s.contains("ENTERPRISE"));
    drop(frozen);
    console.wait_until("the database again", |s| s.contains("db 0s"));
    console.wait_for("FREE in the app");
}
