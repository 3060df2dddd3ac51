//! What each operator of a query did: the plan as a tree, with what it cost.
//!
//! [`crate::engine::evaluate`] tells the profile when it begins and ends to make an operator, and wraps what came of it, so
//! that each row is counted and timed. Time and bytes of a node include those of the nodes below it. Without a profile
//! nothing is wrapped: a query then pays one branch per operator, and one per series that a selector reads.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::ast::Expr;
use crate::error::QueryError;
use crate::limits::Budget;
use crate::row::{BoxRows, Meta, Row, Rows, Steps};

/// A node of the plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlanNode {
    /// The operator as PromQL writes it, without its operands: `sum by (job)`, `rate()`, `up{job="a"}[5m]`.
    pub operator: String,
    /// How many times it is evaluated at; 1 for what is the same at all steps of the query.
    pub steps: usize,
    /// Series that it has.
    pub series: usize,
    /// Series of these that have a sample at a step.
    pub rows: usize,
    /// Samples that it hands on, over all steps.
    pub samples: u64,
    /// Samples that it read from storage.
    pub samples_decoded: u64,
    /// The time it took, all in all.
    pub time: Duration,
    /// The same without the nodes below.
    pub self_time: Duration,
    /// Bytes that were held at most because of it.
    pub bytes: u64,
    /// The operators that it reads from, in the order in which they are made.
    pub children: Vec<PlanNode>,
}

/// The profile of one query.
#[derive(Debug, Default)]
pub(crate) struct Profile(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Parents before their children.
    nodes: Vec<Node>,
    /// The nodes at work, the innermost last.
    at_work: Vec<usize>,
}

#[derive(Debug)]
struct Node {
    parent: Option<usize>,
    plan: PlanNode,
    /// Bytes held now because of it.
    held: i64,
    held_peak: i64,
}

/// Which node it is, for as long as its profile lives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NodeId(usize);

impl Profile {
    /// Adds the node of `expr`, below the one at work.
    pub(crate) fn add(&self, expr: &Expr, steps: Steps) -> NodeId {
        let mut state = self.0.lock();
        let node = Node {
            parent: state.at_work.last().copied(),
            plan: PlanNode {
                operator: crate::print::operator_of(expr),
                steps: steps.count,
                ..PlanNode::default()
            },
            held: 0,
            held_peak: 0,
        };
        state.nodes.push(node);
        NodeId(state.nodes.len() - 1)
    }

    /// Does a piece of the work of `node`.
    pub(crate) fn work<T>(&self, node: NodeId, budget: &Budget, work: impl FnOnce() -> T) -> T {
        self.0.lock().at_work.push(node.0);
        let (before, started) = (budget.bytes_held(), Instant::now());
        let done = work();
        let (took, after) = (started.elapsed(), budget.bytes_held());
        let mut state = self.0.lock();
        state.at_work.pop();
        let node = &mut state.nodes[node.0];
        node.plan.time += took;
        let difference = i128::from(after as u64) - i128::from(before as u64);
        node.held += i64::try_from(difference).unwrap_or(0);
        node.held_peak = node.held_peak.max(node.held);
        done
    }

    /// Counts `samples` as read from storage by the node at work.
    pub(crate) fn decoded(&self, samples: usize) {
        let mut state = self.0.lock();
        if let Some(&at) = state.at_work.last() {
            state.nodes[at].plan.samples_decoded += samples as u64;
        }
    }

    pub(crate) fn set_series(&self, node: NodeId, series: usize) {
        self.0.lock().nodes[node.0].plan.series = series;
    }

    /// Counts a row of `samples` as handed on.
    pub(crate) fn hand_on(&self, node: NodeId, samples: usize) {
        let plan = &mut self.0.lock().nodes[node.0].plan;
        plan.rows += usize::from(0 < samples);
        plan.samples += samples as u64;
    }

    /// Makes the operator of `expr` by `make`, and measures what it does from then on.
    pub(crate) fn measured<'q>(
        &'q self,
        expr: &Expr,
        steps: Steps,
        budget: &'q Budget,
        make: impl FnOnce() -> Result<BoxRows<'q>, QueryError>,
    ) -> Result<BoxRows<'q>, QueryError> {
        let node = self.add(expr, steps);
        let inner = self.work(node, budget, make)?;
        self.set_series(node, inner.series().len());
        Ok(Box::new(Measured {
            profile: self,
            budget,
            node,
            inner,
        }))
    }

    /// Returns the tree, if the query had an operator.
    pub(crate) fn into_plan(self) -> Option<PlanNode> {
        let mut nodes = self.0.into_inner().nodes;
        while let Some(mut node) = nodes.pop() {
            let plan = &mut node.plan;
            // They were added last first.
            plan.children.reverse();
            let below: Duration = plan.children.iter().map(|child| child.time).sum();
            plan.self_time = plan.time.saturating_sub(below);
            plan.bytes = u64::try_from(node.held_peak).unwrap_or(0);
            match node.parent {
                Some(parent) => nodes[parent].plan.children.push(node.plan),
                None => return Some(node.plan),
            }
        }
        None
    }
}

struct Measured<'q> {
    profile: &'q Profile,
    budget: &'q Budget,
    node: NodeId,
    inner: BoxRows<'q>,
}

impl Rows for Measured<'_> {
    fn series(&self) -> &[Meta] {
        self.inner.series()
    }

    fn next(&mut self, row: &mut Row) -> Result<(), QueryError> {
        let inner = &mut self.inner;
        self.profile
            .work(self.node, self.budget, || inner.next(row))?;
        self.profile.hand_on(self.node, row.len());
        Ok(())
    }
}
