//! The `hearth` binary: the only crate that knows the others.
//!
//! [`cli`] says what was typed, [`config`] what is configured, [`server`] joins the rooms and starts, reloads and stops
//! them, [`api`] answers HTTP, [`active_queries`] notes on disk which queries run, [`exporter`] is the node exporter as a program and [`alerting`] the Alertmanager, [`tool`] does one thing and ends.
//!
//! Exit codes: 0 stopped as asked, 1 could not start or run, 2 wrong command line or configuration; those of tools are
//! in [`tool`].

mod active_queries;
mod alerting;
mod alertmanagers;
mod api;
mod backtest;
mod cli;
mod config;
mod exporter;
mod files;
mod logging;
mod server;
mod signal;
mod tool;

use std::process::ExitCode;

use cli::Invocation;

/// Threads for work that blocks (parsing is not among it): queries, rule evaluations, replay.
const BLOCKING_THREADS_MAX: usize = 64;

fn main() -> ExitCode {
    let invocation = match cli::parse(std::env::args_os()) {
        Ok(invocation) => invocation,
        // Help goes to standard output with code 0, wrong usage to standard error with code 2.
        Err(error) => error.exit(),
    };
    if let Invocation::Tool(call) = &invocation {
        logging::init("warn", "logfmt");
        return tool::run(call);
    }
    // An error means that another provider was installed before, which nobody here does.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .build();
    let outcome = match (runtime, &invocation) {
        (Err(error), _) => Err(anyhow::Error::new(error).context("start the async runtime")),
        (Ok(runtime), Invocation::Server(values)) => {
            logging::init(values.text("log.level"), values.text("log.format"));
            runtime.block_on(server::run(values))
        }
        (Ok(runtime), Invocation::Alertmanager(values)) => {
            logging::init(values.text("log.level"), values.text("log.format"));
            runtime.block_on(alerting::run(values))
        }
        (Ok(_), Invocation::Tool(_)) => unreachable!("has run"),
        (Ok(runtime), Invocation::NodeExporter(values, switches)) => {
            logging::init(values.text("log.level"), values.text("log.format"));
            runtime.block_on(exporter::run(values, switches))
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            let is_usage = error.is::<config::LoadError>() || error.is::<server::UsageError>();
            ExitCode::from(if is_usage { 2 } else { 1 })
        }
    }
}
