//! Expressions without their values: `/api/v1/format_query` and `/api/v1/parse_query`.

use model::float::format_plain;
use promql::ast::{
    At, Binary, Call, Cardinality, Expr, Extension, Modifiers, Span, VectorMatching, VectorSelector,
};
use promql::functions::{Function, Variadic};
use serde_json::{Value, json};

use super::error::ApiError;
use super::params::Params;
use super::{Handled, Ready, json};

/// `/api/v1/format_query`: the query, laid out.
pub(super) async fn format(Ready(api): Ready, params: Params) -> Handled {
    let expr = parse(&api.engine, &params)?;
    Ok(json::success_of(&promql::pretty(&expr)))
}

/// `/api/v1/parse_query`: the query as a tree.
pub(super) async fn tree_of(Ready(api): Ready, params: Params) -> Handled {
    let expr = parse(&api.engine, &params)?;
    Ok(json::success_of(&tree(&expr)))
}

fn parse(engine: &promql::Engine, params: &Params) -> Result<Expr, ApiError> {
    let parsed = engine.parse(params.first("query"));
    parsed.map_err(|error| ApiError::parameter("query", error))
}

/// Returns the tree as JSON, one line.
pub(crate) fn tree_json(expr: &Expr) -> Vec<u8> {
    let mut out = Vec::new();
    json::append_serialized(&mut out, &tree(expr));
    out
}

/// Returns the tree as Prometheus 3.5 has it. What it does not have is there only where the query has it: `anchored`,
/// `smoothed`, `fillValues` as in 3.14, and `offsetExpr`, `rangeExpr` and `stepExpr` with the text of lengths that are
/// computed, which are 0 otherwise.
fn tree(expr: &Expr) -> Value {
    match expr {
        Expr::Number(node) => json!({"type": "numberLiteral", "val": format_plain(node.value)}),
        Expr::String(node) => json!({"type": "stringLiteral", "val": node.value}),
        Expr::Vector(node) => selector("vectorSelector", node),
        Expr::Matrix(node) => {
            let mut tree = selector("matrixSelector", &node.selector);
            put_span(&mut tree, "range", &node.range);
            tree
        }
        Expr::Subquery(node) => {
            let mut tree = json!({"type": "subquery", "expr": self::tree(&node.expr)});
            put_span(&mut tree, "range", &node.range);
            put_span(
                &mut tree,
                "step",
                node.step.as_ref().unwrap_or(&Span::Ms(0)),
            );
            put_modifiers(&mut tree, &node.modifiers);
            tree
        }
        Expr::Call(node) => call(node),
        Expr::Unary(node) => json!({
            "type": "unaryExpr",
            "op": if node.negates { "-" } else { "+" },
            "expr": tree(&node.expr),
        }),
        Expr::Binary(node) => binary(node),
        Expr::Aggregate(node) => json!({
            "type": "aggregation",
            "op": node.op.as_str(),
            "expr": tree(&node.expr),
            "param": node.parameter.as_ref().map(tree),
            "grouping": node.grouping,
            "without": node.without,
        }),
        Expr::Paren(node) => json!({"type": "parenExpr", "expr": tree(&node.expr)}),
    }
}

fn selector(kind: &str, node: &VectorSelector) -> Value {
    let matchers = node.matchers.iter().map(|matcher| {
        json!({
            "name": matcher.name(),
            "type": matcher.op().as_str(),
            "value": matcher.value(),
        })
    });
    let mut tree = json!({
        "type": kind,
        "name": node.name.as_deref().unwrap_or_default(),
        "matchers": matchers.collect::<Vec<_>>(),
    });
    put_modifiers(&mut tree, &node.modifiers);
    match node.extension {
        Extension::None => (),
        Extension::Anchored => tree["anchored"] = true.into(),
        Extension::Smoothed => tree["smoothed"] = true.into(),
    }
    tree
}

fn put_modifiers(tree: &mut Value, modifiers: &Modifiers) {
    put_span(tree, "offset", &modifiers.offset);
    let (timestamp, start_or_end) = match modifiers.at {
        None => (None, None),
        Some(At::Time(ms)) => (Some(ms), None),
        Some(At::Start) => (None, Some("start")),
        Some(At::End) => (None, Some("end")),
    };
    tree["timestamp"] = timestamp.into();
    tree["startOrEnd"] = start_or_end.into();
}

fn put_span(tree: &mut Value, key: &str, span: &Span) {
    match span {
        Span::Ms(ms) => tree[key] = (*ms).into(),
        Span::Expr(_) => {
            tree[key] = 0.into();
            tree[format!("{key}Expr")] = span.to_string().into();
        }
    }
}

fn call(node: &Call) -> Value {
    let Function { name, args, .. } = node.function;
    let types: Vec<&str> = args.iter().map(|arg| arg.as_str()).collect();
    let variadic = match node.function.variadic {
        Variadic::Exact => 0,
        Variadic::Optional => 1,
        Variadic::UpTo(times) => i64::try_from(times).unwrap_or(i64::MAX),
        Variadic::Any => -1,
    };
    json!({
        "type": "call",
        "func": {
            "name": name,
            "argTypes": types,
            "variadic": variadic,
            "returnType": node.function.returns.as_str(),
        },
        "args": node.args.iter().map(tree).collect::<Vec<_>>(),
    })
}

fn binary(node: &Binary) -> Value {
    json!({
        "type": "binaryExpr",
        "op": node.op.as_str(),
        "lhs": tree(&node.left),
        "rhs": tree(&node.right),
        "matching": node.matching.as_ref().map(matching),
        "bool": node.returns_bool,
    })
}

fn matching(node: &VectorMatching) -> Value {
    let card = match node.cardinality {
        Cardinality::OneToOne => "one-to-one",
        Cardinality::ManyToOne => "many-to-one",
        Cardinality::OneToMany => "one-to-many",
        Cardinality::ManyToMany => "many-to-many",
    };
    let mut tree = json!({
        "card": card,
        "labels": node.labels,
        "on": node.on,
        "include": node.include,
    });
    let (left, right) = (node.fill_left, node.fill_right);
    if left.is_some() || right.is_some() {
        let value = |side: Option<promql::ast::NumberLiteral>| side.map(|number| number.value);
        tree["fillValues"] = json!({"lhs": value(left), "rhs": value(right)});
    }
    tree
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::api::testing::{Api, error};

    #[track_caller]
    fn check(query: &str, expected: Value) {
        assert_eq!(tree(&promql::parse(query).unwrap()), expected, "{query}");
    }

    #[test]
    fn trees() {
        check("-0", json!({"type": "numberLiteral", "val": "-0"}));
        check(
            "rate(x{a!~'b'}[5m] offset -1m @ 5.5)",
            json!({
                "type": "call",
                "func": {"name": "rate", "argTypes": ["matrix"], "variadic": 0, "returnType": "vector"},
                "args": [{
                    "type": "matrixSelector", "name": "x", "offset": -60_000, "range": 300_000,
                    "startOrEnd": null, "timestamp": 5500,
                    "matchers": [
                        {"name": "a", "type": "!~", "value": "b"},
                        {"name": "__name__", "type": "=", "value": "x"},
                    ],
                }],
            }),
        );
        let x = json!({
            "type": "vectorSelector", "name": "x", "offset": 0, "startOrEnd": null, "timestamp": null,
            "matchers": [{"name": "__name__", "type": "=", "value": "x"}],
        });
        check(
            "(x)[1h:] @ end()",
            json!({
                "type": "subquery", "expr": {"type": "parenExpr", "expr": x}, "range": 3_600_000, "step": 0,
                "offset": 0, "startOrEnd": "end", "timestamp": null,
            }),
        );
        check(
            "x + on (a) group_left (b) fill_left (1) x",
            json!({
                "type": "binaryExpr", "op": "+", "bool": false, "lhs": x, "rhs": x,
                "matching": {
                    "card": "many-to-one", "labels": ["a"], "on": true, "include": ["b"],
                    "fillValues": {"lhs": 1.0, "rhs": null},
                },
            }),
        );
    }

    #[tokio::test]
    async fn both_ways_of_asking() {
        let api = Api::new();
        let tree = r#"{"status":"success","data":{"bool":true,"lhs":{"type":"numberLiteral","val":"1"},"matching":null,"op":"\u003e","rhs":{"type":"numberLiteral","val":"2"},"type":"binaryExpr"}}"#;
        let text = "/api/v1/parse_query?query=1%3Ebool%202";
        api.check(text, 200, tree).await;
        let path = "/api/v1/parse_query";
        api.check_send(Method::POST, path, "query=1%3Ebool%202", 200, tree)
            .await;
        let (status, body) = api.get("/api/v1/parse_query?query=").await;
        let what = "invalid parameter \\\"query\\\": unknown position: parse error: no expression found in input";
        assert_eq!((status, body), (400, error("bad_data", what)));
    }
}
