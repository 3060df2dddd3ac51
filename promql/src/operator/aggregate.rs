//! Aggregations: many series to one per group.
//!
//! Groups are numbered once per query. Rows stream in and are added to their group's columns step by step, in the order
//! of series, so that sums are the same as Prometheus'. What has to see a group as a whole is in [`rank`] (topk and its
//! like) and [`values`] (quantile and count_values).

mod accumulate;
mod rank;
mod values;

pub(crate) use values::check_quantile;

use super::group::{Groups, Key};
use crate::ast::{Aggregate, AggregateOp};
use crate::engine::context::Context;
use crate::engine::evaluate;
use crate::error::QueryError;
use crate::row::{BoxRows, Meta, Steps};

/// Evaluates an aggregation.
pub(crate) fn rows<'q>(
    context: &'q Context<'q>,
    node: &'q Aggregate,
    steps: Steps,
) -> Result<BoxRows<'q>, QueryError> {
    let input = evaluate::rows(context, &node.expr, steps)?;
    let grouped = Grouped::new(context, node, input, steps);
    match (node.op, &node.parameter) {
        (AggregateOp::CountValues, Some(parameter)) => {
            let label = evaluate::label_name(parameter)?;
            values::count_values(context, grouped, label)
        }
        (AggregateOp::Quantile, Some(parameter)) => {
            let q = evaluate::scalar(context, parameter, steps)?;
            values::quantile(context, grouped, q, parameter.position())
        }
        (op, Some(parameter)) => {
            let k = evaluate::scalar(context, parameter, steps)?;
            rank::rows(context, grouped, op, k, parameter.position())
        }
        (op, None) => accumulate::rows(context, grouped, op),
    }
}

/// The input of an aggregation and which group each of its series is in.
struct Grouped<'q> {
    node: &'q Aggregate,
    input: BoxRows<'q>,
    steps: usize,
    /// Of each input series.
    ids: Vec<usize>,
    /// Of each group; the name is dropped if it is of any series in it.
    series: Vec<Meta>,
}

impl<'q> Grouped<'q> {
    fn new(context: &Context<'_>, node: &'q Aggregate, input: BoxRows<'q>, steps: Steps) -> Self {
        let key = Key {
            labels: &node.grouping,
            counts: !node.without,
            delayed: context.delayed_name_removal,
        };
        let mut groups = Groups::new(key);
        let ids = groups.of(input.series());
        let mut series: Vec<Meta> = groups.labels.into_iter().map(Meta::new).collect();
        if context.delayed_name_removal {
            for (meta, &id) in input.series().iter().zip(&ids) {
                series[id].drop_name |= meta.drop_name;
            }
        }
        Grouped {
            node,
            input,
            steps: steps.count,
            ids,
            series,
        }
    }
}
