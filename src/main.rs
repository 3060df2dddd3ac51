//! The `hearth` binary: the only crate that knows the others.
//!
//! [`cli`] says what was typed, [`config`] what is configured, [`server`] joins the rooms and starts, reloads and stops
//! them, [`api`] answers HTTP, [`active_queries`] notes on disk which queries run and [`query_log`] which ran, [`rule_queries`] are those of rules, [`exporter`] is the node exporter as a program and [`alerting`] the Alertmanager, [`footprint`] gives back memory that only starting needed, [`tool`] does one thing and ends.
//!
//! Exit codes: 0 stopped as asked, 1 could not start or run, 2 wrong command line or configuration; those of tools are
//! in [`tool`].

mod active_queries;
mod alerting;
mod alertmanagers;
mod api;
mod backtest;
mod cli;
mod cluster;
mod config;
mod exporter;
mod files;
mod footprint;
mod logging;
mod query_log;
mod rule_queries;
mod server;
mod signal;
mod tool;

use std::process::ExitCode;

use anyhow::Context as _;
use cli::flag::Values;
use cli::{Invocation, Program};
use server::http::Inherited;

/// Threads for work that blocks (parsing is not among it): queries, rule evaluations, replay.
const BLOCKING_THREADS_MAX: usize = 64;

fn main() -> ExitCode {
    let invocation = match cli::parse(std::env::args_os()) {
        Ok(invocation) => invocation,
        // Help goes to standard output with code 0, wrong usage to standard error with code 2.
        Err(error) => error.exit(),
    };
    let (program, values) = match invocation {
        Invocation::Program(program, values) => (program, values),
        Invocation::Tool(call) => {
            logging::init("warn", "logfmt");
            return tool::run(&call);
        }
    };
    logging::init(values.text("log.level"), values.text("log.format"));
    // An error means that another provider was installed before, which nobody here does.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match run(&program, values) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            let is_usage = error.is::<config::LoadError>() || error.is::<server::UsageError>();
            ExitCode::from(if is_usage { 2 } else { 1 })
        }
    }
}

/// Runs a program that goes on until it is told to stop.
fn run(program: &Program, mut values: Values) -> anyhow::Result<()> {
    let inherited = inherited(&mut values)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .build()
        .context("start the async runtime")?;
    runtime.spawn(footprint::keep_small());
    match program {
        Program::Server => runtime.block_on(server::run(&values, inherited)),
        Program::Alertmanager => runtime.block_on(alerting::run(&values, inherited)),
        Program::NodeExporter(switches) => {
            runtime.block_on(exporter::run(&values, switches, inherited))
        }
    }
}

/// Takes the sockets that systemd passes, if they are wanted; they are the addresses that are listened on then. The environment is
/// changed by that, so there must be no other threads yet.
fn inherited(values: &mut Values) -> anyhow::Result<Inherited> {
    if !values.is_on("web.systemd-socket") {
        return Ok(None);
    }
    let sockets = net::listen::inherited().context("--web.systemd-socket")?;
    let addresses = sockets
        .iter()
        .map(|socket| Ok(socket.local_addr()?.to_string()));
    let addresses: std::io::Result<Vec<String>> = addresses.collect();
    values.set_list("web.listen-address", addresses?);
    Ok(Some(sockets))
}
