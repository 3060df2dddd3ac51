//! Commands on rule files.

pub(super) mod backtest;
