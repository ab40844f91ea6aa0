//! Arguments → configuration → wiring → exit code. The only place that knows everything.

use nightdesk::cli::args::{Cli, Color, Look, Place, Subcommands};
use nightdesk::cli::drill::DrillArgs;
use nightdesk::cli::{self, sandbox::SandboxArgs};
use nightdesk::config::Config;
use nightdesk::console::State;
use nightdesk::gateway::executor::{Executor, Handle};
use nightdesk::gateway::reader::CLOSING;
use nightdesk::gateway::{journal, log};
use nightdesk::protocol::effect::Effect;
use nightdesk::protocol::event::Event;
use nightdesk::sandbox::cluster::supervisor;
use nightdesk::sandbox::{Sandbox, SandboxOptions};
use nightdesk::shell::{self, ColourChoice};
use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// How many events and effects may wait between the halves: far more than a screen's worth.
const QUEUE: usize = 1024;
/// How long a sandbox is waited for at the end.
const STOPPING: Duration = Duration::from_millis(800);

fn main() -> ExitCode {
    let cli = match cli::arguments() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    // Before any runtime: the supervisor is a process of its own that only waits.
    if matches!(cli.command, Some(Subcommands::SupervisePostgres)) {
        return supervisor::supervise();
    }
    if let Err(error) = color_eyre::config::HookBuilder::default().display_env_section(false).install() {
        return fail(&error);
    }
    log::to_file(&journal::state_dir());
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    let code = runtime.block_on(run(cli));
    // A read that hangs is nobody's business any more.
    runtime.shutdown_background();
    code
}

async fn run(cli: Cli) -> ExitCode {
    match cli.command {
        None => console(&cli.place, &cli.look).await,
        Some(Subcommands::Sandbox(args)) if args.serve => match cli::sandbox::run(&args).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error),
        },
        Some(Subcommands::Sandbox(args)) => practise(&args, &cli.look).await,
        Some(Subcommands::Drill(args)) => match cli::drill::run(&args).await {
            Some(code) => code,
            None => drill(&args, &cli.look).await,
        },
        Some(command) => cli::run(command, &cli.place).await,
    }
}

/// The console on the configured environment. What is wrong with the configuration is said before the screen opens.
async fn console(place: &Place, look: &Look) -> ExitCode {
    let config = match cli::configuration(place) {
        Ok(config) => config,
        Err(error) => return fail(&error),
    };
    if let Some(code) = no_terminal() {
        return code;
    }
    let (events, inbound) = mpsc::channel(QUEUE);
    let (effects, outbound) = mpsc::channel(QUEUE);
    let outside = tokio::spawn(serve(Arc::new(config), events, outbound));
    show(look, effects, inbound, outside).await
}

/// The console on a sandbox of its own: the first frame comes before the cluster is up.
async fn practise(args: &SandboxArgs, look: &Look) -> ExitCode {
    if let Some(code) = no_terminal() {
        return code;
    }
    let (events, inbound) = mpsc::channel(QUEUE);
    let (effects, outbound) = mpsc::channel(QUEUE);
    let outside = tokio::spawn(sandbox(args.options(), events, outbound));
    show(look, effects, inbound, outside).await
}

/// The console on a drill, and the drill's report when it is left.
async fn drill(args: &DrillArgs, look: &Look) -> ExitCode {
    if let Some(code) = no_terminal() {
        return code;
    }
    let course = match cli::drill::open(args).await {
        Ok(course) => course,
        Err(error) => return fail(&error),
    };
    let config = match course.config() {
        Ok(config) => config,
        Err(error) => return fail(&error),
    };
    let (events, inbound) = mpsc::channel(QUEUE);
    let (effects, outbound) = mpsc::channel(QUEUE);
    let outside = tokio::spawn(serve(Arc::new(config), events, outbound));
    let shown = show(look, effects, inbound, outside).await;
    let report = cli::drill::close(course, args.json).await;
    if shown == ExitCode::SUCCESS { report } else { shown }
}

async fn show(
    look: &Look,
    effects: mpsc::Sender<Effect>,
    inbound: mpsc::Receiver<Event>,
    outside: tokio::task::JoinHandle<()>,
) -> ExitCode {
    let colour = match look.color {
        Color::Auto => ColourChoice::Auto,
        Color::Never => ColourChoice::Never,
        Color::Sixteen => ColourChoice::Sixteen,
        Color::Indexed => ColourChoice::Fixed256,
        Color::True => ColourChoice::True,
    };
    let theme = shell::theme(colour, look.ascii, |name| std::env::var(name).ok());
    let shown = shell::run(State::new(theme, chrono::Utc::now()), effects, inbound).await;
    // The outside ends by itself once nobody asks it any more: at once where nothing is under way, else when a write has settled and what
    // was journaled last is shipped. The terminal is restored already.
    let _ = tokio::time::timeout(CLOSING, outside).await;
    match shown {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

async fn sandbox(options: SandboxOptions, events: mpsc::Sender<Event>, mut effects: mpsc::Receiver<Effect>) {
    let _ = events.send(Event::Starting("starting a sandbox: Postgres, a Stripe simulator, the application".into())).await;
    let executable = match std::env::current_exe() {
        Ok(path) => path,
        Err(error) => return failed(&events, &mut effects, format!("the path of this program cannot be found: {error}")).await,
    };
    let mut early = Vec::new();
    // Named, so that whoever is started for this sandbox keeps the same journal.
    let starting = Sandbox::start(cli::sandbox::within(options), executable);
    tokio::pin!(starting);
    let started = loop {
        tokio::select! {
            started = &mut starting => break started,
            effect = effects.recv() => match effect {
                None | Some(Effect::Quit) => return,
                Some(effect) => early.push(effect),
            }
        }
    };
    let sandbox = match started {
        Ok(sandbox) => sandbox,
        Err(error) => return failed(&events, &mut effects, error.to_string()).await,
    };
    let variables = sandbox.environment();
    let variable = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| v.clone());
    let map = variable("NIGHTDESK_CONFIG");
    match Config::load(map.as_deref().map(Path::new), None, &variable) {
        Ok(config) => {
            let executor = Executor::start(Arc::new(config), events);
            for effect in early {
                executor.submit(effect);
            }
            forward(executor, effects).await;
        }
        Err(error) => failed(&events, &mut effects, error.to_string()).await,
    }
    // Its supervisor ends what is left of it: nobody waits for that.
    let _ = tokio::time::timeout(STOPPING, sandbox.stop()).await;
}

async fn serve(config: Arc<Config>, events: mpsc::Sender<Event>, effects: mpsc::Receiver<Effect>) {
    forward(Executor::start(config, events), effects).await;
}

async fn forward(executor: Handle, mut effects: mpsc::Receiver<Effect>) {
    while let Some(effect) = effects.recv().await {
        if effect == Effect::Quit {
            break;
        }
        executor.submit(effect);
    }
    executor.shutdown().await;
}

/// Says why there is nothing to show, and stays until the operator has read it.
async fn failed(events: &mpsc::Sender<Event>, effects: &mut mpsc::Receiver<Effect>, why: String) {
    let _ = events.send(Event::StartFailed(why)).await;
    while effects.recv().await.is_some_and(|e| e != Effect::Quit) {}
}

fn no_terminal() -> Option<ExitCode> {
    if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() {
        return None;
    }
    Some(cli::refuse("the console needs a terminal; without one, use `nightdesk find`, `run`, `runs`, `status` or `check`"))
}

fn fail(error: &dyn std::fmt::Display) -> ExitCode {
    cli::refuse(&error.to_string())
}
