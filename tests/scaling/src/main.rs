//! Prints how autoscalers compare on synthetic workloads and traces, or replays what a controller has recorded.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use skep_scaling_sim::{
    live, replay,
    report::{self, Row},
    scaler::Limits,
    workload,
};

#[derive(Parser)]
#[command(about = "Simulates autoscalers on one function", arg_required_else_help = false)]
struct Arguments {
    /// Seeds of the synthetic workloads
    #[arg(long, default_values_t = [7])]
    seed: Vec<u64>,
    /// A trace of OrcBench, whose heaviest functions are simulated with the synthetic workloads
    #[arg(long)]
    trace: Vec<PathBuf>,
    /// Replicas that a function of a trace may have
    #[arg(long, default_value_t = 400)]
    max: u32,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Repeats the decisions of a log of observations, one JSON object per line
    Replay {
        file: PathBuf,
        /// Only of this function
        #[arg(long)]
        function: Option<String>,
    },
    /// Simulates recorded calls, lines of SECONDS,LASTS, and prints the replicas at each second
    Arrivals(Arrivals),
    /// Puts a load on a `skep up` of its own, and compares its replicas with those of the simulator
    Live {
        load: live::Load,
        /// Where skep and fwatchdog are
        #[arg(long, default_value = "target/release")]
        programs: PathBuf,
        #[arg(long, default_value = "nats-server")]
        nats_server: PathBuf,
    },
}

#[derive(Args)]
struct Arrivals {
    file: PathBuf,
    #[arg(long, default_value_t = 16)]
    slots: u32,
    #[arg(long, default_value_t = 1)]
    min: u32,
    #[arg(long, default_value_t = 20)]
    max: u32,
    /// How long a replica takes to start, in seconds
    #[arg(long, default_value_t = 2.0)]
    start: f64,
    /// Seconds to go on after the last call
    #[arg(long, default_value_t = 60.0)]
    after: f64,
}

#[expect(clippy::print_stdout)]
fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    match &arguments.command {
        Some(Command::Replay { file, function }) => print!("{}", replay::decisions(file, function.as_deref())?),
        Some(Command::Arrivals(Arrivals { file, slots, min, max, start, after })) => {
            let limits = Limits { slots: *slots, min: *min, max: *max };
            print!("{}", replay::curve(workload::arrivals(file)?, limits, *start, *after));
        }
        Some(Command::Live { load, programs, nats_server }) => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            print!("{}", runtime.block_on(live::report(*load, programs, nats_server))?);
        }
        None => return compare(&arguments),
    }
    Ok(())
}

/// Prints a table for each trace, or for the synthetic workloads alone, and fails if a bar is missed.
#[expect(clippy::print_stdout)]
fn compare(arguments: &Arguments) -> anyhow::Result<()> {
    let mut missed = false;
    let traces: Vec<_> =
        if arguments.trace.is_empty() { vec![None] } else { arguments.trace.iter().map(Some).collect() };
    for (trace, seed) in traces.into_iter().zip(arguments.seed.iter().cycle()) {
        let mut workloads = workload::synthetic(*seed);
        if let Some(trace) = trace {
            println!("\n== {}, at most {} replicas", trace.display(), arguments.max);
            workloads.extend(workload::orcbench(trace, arguments.max)?);
        }
        let rows: Vec<_> = workloads.iter().map(Row::of).collect();
        print!("{}", report::table(&rows));
        for miss in report::misses(&rows) {
            missed = true;
            println!("  missed: {miss}");
        }
    }
    anyhow::ensure!(!missed, "skep's autoscaler misses a bar");
    Ok(())
}
