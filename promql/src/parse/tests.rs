//! What parses to what, what is refused where, and that printing and parsing are inverse.

use proptest::prelude::*;

use super::*;
use crate::ast::*;
use crate::functions::Function;
use crate::position::Position;

#[track_caller]
fn check(text: &str, expected: &str) {
    let found = match parse(text) {
        Ok(expr) => {
            let printed = expr.to_string();
            assert_eq!(
                parse(&printed),
                Ok(expr),
                "{printed} reads back differently"
            );
            printed
        }
        Err(error) => error.to_string(),
    };
    assert_eq!(found, expected, "{text}");
}

#[test]
fn literals() {
    check(" -1", "-1");
    check("--1", "1");
    check("-1^2", "-1 ^ 2");
    check("1e10", "10000000000");
    check("0x10", "16");
    check("-Inf + nan", "-Inf + NaN");
    check("1h30m * 2", "1h30m * 2");
    check("-5m", "-5m");
    check("1500ms", "1s500ms");
    check("'a\"b'", r#""a\"b""#);
}

#[test]
fn selectors() {
    check("foo{}", "foo");
    check("foo{a='x',}", "foo{a=\"x\"}");
    check("foo{\"a b\"=\"c\"}", "foo{\"a b\"=\"c\"}");
    check("{\"a.b\", c=\"d\"}", "{__name__=\"a.b\",c=\"d\"}");
    check("{b=\"c\",a!=\"\"}", "{a!=\"\",b=\"c\"}");
    check("offset offset 5m", "offset offset 5m");
    check("sum + by", "sum + by");
    check("foo[90s:61s]", "foo[1m30s:1m1s]");
    check("foo[5m:] offset 1m @ 3", "foo[5m:] @ 3.000 offset 1m");
    check("foo[300] @ end() offset -1w", "foo[5m] @ end() offset -1w");
    check("foo @ -1.5", "foo @ -1.500");
    check("foo[5m] anchored offset 1m", "foo[5m] anchored offset 1m");
    check("foo smoothed", "foo smoothed");
}

#[test]
fn duration_expressions() {
    check("foo[ 24m+((1.5*2m)+2m) ]", "foo[24m + ((1.5 * 2m) + 2m)]");
    check("foo[-5m+35m:STEP()]", "foo[-5m + 35m:step()]");
    check("foo offset 2 ^ 2", "foo offset 2s ^ 2");
    check("foo offset --5", "foo offset 5s");
    check("foo offset -+1m", "foo offset -1m");
    check("foo offset (2 ^ 2)", "foo offset (2 ^ 2)");
    check(
        "foo offset -min_of(step(), 1s)+8000",
        "foo offset -min_of(step(), 1s) + 8000",
    );
    check("foo[-2^2 % range()]", "foo[-2 ^ 2 % range()]");
}

#[test]
fn operators() {
    check("2^3^2", "2 ^ 3 ^ 2");
    check("a or b and c == d + e * f", "a or b and c == d + e * f");
    check("a AND on() b", "a and on () b");
    check("a + ignoring() b", "a + b");
    check("a * on(x) group_left b", "a * on (x) group_left () b");
    check("a >bool on(x,\"y z\",) b", "a > bool on (x, \"y z\") b");
    check("a + fill(1) b", "a + fill (1) b");
    check(
        "a + on(x) group_right(y) fill_right(-2) fill_left(NaN) b",
        "a + on (x) group_right (y) fill_left (NaN) fill_right (-2) b",
    );
    check("a </ 1 >/ 2", "a </ 1 >/ 2");
    check("a atan2 -b", "a atan2 -b");
}

#[test]
fn precedence_shapes_the_tree() {
    let shape = |text| match parse(text) {
        Ok(Expr::Binary(binary)) => (binary.op, binary.left.to_string(), binary.right.to_string()),
        other => panic!("{other:?}"),
    };
    assert_eq!(shape("a-b-c"), (BinaryOp::Sub, "a - b".into(), "c".into()));
    assert_eq!(shape("a^b^c"), (BinaryOp::Pow, "a".into(), "b ^ c".into()));
    assert_eq!(shape("-a*b"), (BinaryOp::Mul, "-a".into(), "b".into()));
    assert_eq!(
        shape("a or b unless c"),
        (BinaryOp::Or, "a".into(), "b unless c".into())
    );
    assert_eq!(shape("a+b*c"), (BinaryOp::Add, "a".into(), "b * c".into()));
}

#[test]
fn aggregations_and_calls() {
    check("SUM(x) by (a)", "sum by (a) (x)");
    check("sum without () (x)", "sum without () (x)");
    check("sum by () (x)", "sum(x)");
    check(
        "topk(5, x) by (\"a b\", on)",
        "topk by (\"a b\", on) (5, x)",
    );
    check("label_join(x,'a','b')", "label_join(x, \"a\", \"b\")");
    check("time()", "time()");
}

#[test]
fn syntax_errors() {
    for (text, expected) in [
        (
            "",
            "unknown position: parse error: no expression found in input",
        ),
        (" ", "1:1: parse error: no expression found in input"),
        (
            "!",
            "1:1: parse error: unexpected character after '!': '\u{fffd}'",
        ),
        (
            "a =~ b",
            "1:3: parse error: unexpected character after '=': '~'",
        ),
        (
            "{a!b}",
            "1:3: parse error: unexpected character after '!' inside braces: 'b'",
        ),
        (
            "{=~",
            "1:2: parse error: unexpected <op:=~> in label matching, expected identifier or \"}\"",
        ),
        (
            "\"\\)\"",
            "1:1: parse error: unknown escape sequence U+0029 ')'",
        ),
        (
            "topk by()",
            "1:10: parse error: unexpected end of input in aggregation",
        ),
        (
            "max(rate(*))",
            "1:10: parse error: unexpected <op:*> in aggregation",
        ),
        (
            "max())",
            "1:7: parse error: unexpected right parenthesis ')'",
        ),
        ("foo[0", "1:6: parse error: unclosed left bracket"),
        (
            "one{__name__=~\"o.*\"}",
            "1:1: parse error: metric name must not be set twice: \"one\" or \"o.*\"",
        ),
        (
            "foo{",
            "1:5: parse error: unexpected end of input inside braces",
        ),
        (
            "foo{1}",
            "1:5: parse error: unexpected character inside braces: '1'",
        ),
        ("sum(", "1:5: parse error: unclosed left parenthesis"),
        ("foo[5m", "1:7: parse error: unclosed left bracket"),
        (
            "foo[",
            "1:5: parse error: unexpected end of input in duration expression",
        ),
        (
            "foo\n bar",
            "2:2: parse error: unexpected identifier \"bar\"",
        ),
        ("foo)", "1:5: parse error: unexpected right parenthesis ')'"),
        ("foo}", "1:4: parse error: unexpected character: '}'"),
        (
            "sum by (a=) (x)",
            "1:10: parse error: unexpected \"=\" in grouping opts, expected \",\" or \")\"",
        ),
        (
            "foo offset",
            "1:11: parse error: unexpected end of input in offset, expected number or duration",
        ),
        (
            "foo @ x",
            "1:7: parse error: unexpected identifier \"x\" in @, expected timestamp",
        ),
        (
            "foo{a=\"b\" c=\"d\"}",
            "1:11: parse error: unexpected identifier \"c\" in label matching, expected \",\" or \"}\"",
        ),
        (
            "a{b=c}",
            "1:5: parse error: unexpected identifier \"c\" in label matching, expected string",
        ),
        (
            "a{b c}",
            "1:5: parse error: unexpected identifier \"c\" in label matching, expected label matching operator",
        ),
        (
            "foo{,}",
            "1:5: parse error: unexpected \",\" in label matching, expected identifier or \"}\"",
        ),
        (
            "rate(foo[5m],)",
            "1:13: parse error: trailing commas not allowed in function call args",
        ),
        ("bool", "1:1: parse error: unexpected <bool>"),
        ("atan2", "1:1: parse error: unexpected <op:atan2>"),
        ("*", "1:1: parse error: unexpected <op:*>"),
        (
            "a + on(b) ignoring(c) d",
            "1:11: parse error: unexpected <ignoring>",
        ),
        (
            "sum by",
            "1:7: parse error: unexpected end of input in grouping opts, expected \"(\"",
        ),
        (
            "sum(a) by (b) without (c)",
            "1:15: parse error: unexpected <without>",
        ),
        (
            "a[x]",
            "1:3: parse error: unexpected character in duration expression: 'x'",
        ),
        ("foo[5m:1m:1m]", "1:10: parse error: unexpected colon ':'"),
        (
            "nofn(x)",
            "1:1: parse error: unknown function with name \"nofn\"",
        ),
        ("and(x)", "1:4: parse error: unexpected \"(\""),
        (
            "foo{__name__=\"bar\"}",
            "1:1: parse error: metric name must not be set twice: \"foo\" or \"bar\"",
        ),
        (
            "foo[0]",
            "1:5: parse error: duration must be greater than 0",
        ),
        (
            "foo[5m:-1m]",
            "1:8: parse error: duration must be greater than 0",
        ),
        (
            "1[5m]",
            "1:2: parse error: ranges only allowed for vector selectors",
        ),
        (
            "foo @ 1 [5m]",
            "1:9: parse error: no @ modifiers allowed before range",
        ),
        ("foo[2%0m]", "1:6: parse error: modulo by zero"),
        ("foo[5m:1m/0]", "1:10: parse error: division by zero"),
        (
            "foo offset 1s [5m]",
            "1:15: parse error: no offset modifiers allowed before range",
        ),
        (
            "foo offset 5m offset 5m",
            "1:1: parse error: offset may not be set multiple times",
        ),
        (
            "foo @ 1 @ 2",
            "1:1: parse error: @ <timestamp> may not be set multiple times",
        ),
        (
            "foo @ Inf",
            "1:1: parse error: timestamp out of bounds for @ modifier: +Inf",
        ),
    ] {
        check(text, expected);
    }
}

#[test]
fn type_errors() {
    for (text, expected) in [
        (
            "{a=~\".*\"}",
            "1:1: parse error: vector selector must contain at least one non-empty matcher",
        ),
        (
            "rate(foo)",
            "1:6: parse error: expected type range vector in call to function \"rate\", got instant vector",
        ),
        (
            "sum(foo[5m])",
            "1:5: parse error: expected type instant vector in aggregation expression, got range vector",
        ),
        (
            "topk(\"a\", foo)",
            "1:6: parse error: expected type scalar in aggregation parameter, got string",
        ),
        (
            "sum(a,b)",
            "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 1, got 2",
        ),
        (
            "sum()",
            "1:1: parse error: no arguments for aggregate expression provided",
        ),
        (
            "round(1,2,3)",
            "1:1: parse error: expected at most 2 argument(s) in call to \"round\", got 3",
        ),
        (
            "label_join(x)",
            "1:1: parse error: expected at least 3 argument(s) in call to \"label_join\", got 1",
        ),
        (
            "abs(1,2)",
            "1:1: parse error: expected 1 argument(s) in call to \"abs\", got 2",
        ),
        (
            "1 and 1",
            "1:1: parse error: set operator \"and\" not allowed in binary scalar expression",
        ),
        (
            "1 == 1",
            "1:3: parse error: comparisons between scalars must use BOOL modifier",
        ),
        (
            "a + bool b",
            "1:3: parse error: bool modifier can only be used on comparison operators",
        ),
        (
            "a == on(b) group_left(b) c",
            "1:3: parse error: label \"b\" must not occur in ON and GROUP clause at once",
        ),
        (
            "a and on(x) group_left b",
            "1:1: parse error: no grouping allowed for \"and\" operation",
        ),
        (
            "a + on(x) 1",
            "1:1: parse error: vector matching only allowed between instant vectors",
        ),
        (
            "\"a\" + 1",
            "1:1: parse error: binary expression must contain only scalar and instant vector types",
        ),
        (
            "-foo[5m]",
            "1:1: parse error: unary expression only allowed on expressions of type scalar or instant vector, got \"range vector\"",
        ),
        (
            "1[5m:1m]",
            "1:1: parse error: subquery is only allowed on instant vector, got scalar instead",
        ),
        (
            "foo[5m][5m:1m]",
            "1:1: parse error: subquery is only allowed on instant vector, got matrix instead",
        ),
    ] {
        check(text, expected);
    }
}

#[test]
fn experimental_syntax_can_be_refused() {
    for text in [
        "sort_by_label(x, \"a\")",
        "limitk(1, x)",
        "a + fill(1) b",
        "rate(x[5m] anchored)",
    ] {
        assert!(parse(text).is_ok(), "{text}");
        assert!(parse_with(text, &ParseOptions::STABLE).is_err(), "{text}");
    }
}

#[test]
fn hostile_depth_is_an_error() {
    for text in [
        "(".repeat(100_000),
        "-".repeat(100_000) + "x",
        "x+".repeat(100_000) + "x",
        "x^".repeat(100_000) + "x",
        "abs(".repeat(100_000),
        format!("x[{}1{}]", "(".repeat(100_000), ")".repeat(100_000)),
        format!("x[{}1]", "1+".repeat(100_000)),
        format!("x{}", "[1m:1m]".repeat(100_000)),
    ] {
        assert!(parse(&text).is_err());
    }
    let deepest = format!("{}x{}", "(".repeat(200), ")".repeat(200));
    assert!(parse(&deepest).is_ok());
}

#[test]
fn selector_parameters() {
    let check = |text: &str, expected: &[&str]| {
        let found: Vec<String> = parse_selector(text)
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(found, expected);
    };
    check("up{job=\"a\"}", &["job=\"a\"", "__name__=\"up\""]);
    check("{\"a.b\"}", &["__name__=\"a.b\""]);
    assert!(parse_selector("up[5m]").is_err());
    assert!(parse_selector("{a=\"\"}").is_err());
    assert!(parse_selector("").is_err());
}

/// Prometheus' own print of real expressions, where the data is at hand.
#[test]
fn strings_that_are_not_utf8_print_as_they_parse() {
    let text = r#"label_replace(up, "a\xff\n", "\xc3", "é", "")"#;
    let expr = parse(text).unwrap();
    assert_eq!(expr.to_string(), text);
    assert_eq!(parse(&expr.to_string()), Ok(expr));
    let refused = parse(r#"up{a="\xff"}"#).unwrap_err().to_string();
    assert!(refused.contains("not valid UTF-8"), "{refused}");
}

#[test]
fn prints_like_prometheus() {
    let dir = std::env::var("HEARTH_CONFORMANCE_DIR")
        .unwrap_or_else(|_| "../../shared/conformance".into());
    let Ok(table) = std::fs::read_to_string(format!("{dir}/rules/exprs.tsv")) else {
        println!("skipped: no conformance data in {dir}");
        return;
    };
    let mut wrong = Vec::new();
    let mut read = 0;
    for line in table.lines().skip(1) {
        let columns: Vec<String> = line.split('\t').map(unescape_column).collect();
        let [_, _, _, text, printed, laid_out] = columns.as_slice() else {
            panic!("{line}");
        };
        read += 1;
        match parse(text) {
            Ok(expr) if expr.to_string() != *printed => wrong.push(format!("{printed}\n{expr}")),
            Ok(expr) if crate::pretty(&expr) != *laid_out => {
                wrong.push(format!("{laid_out}\n{}", crate::pretty(&expr)));
            }
            Ok(expr) => {
                assert_eq!(parse(printed), Ok(expr.clone()));
                assert_eq!(parse(laid_out), Ok(expr));
            }
            Err(error) => wrong.push(format!("{text}\n{error}")),
        }
    }
    assert!(500 < read);
    assert!(
        wrong.is_empty(),
        "{} of {read}:\n{}",
        wrong.len(),
        wrong.join("\n\n")
    );
}

fn unescape_column(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some(other) => out.push(other),
                None => (),
            },
            c => out.push(c),
        }
    }
    out
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z][a-z0-9_]{0,5}",
        Just("sum".to_owned()),
        Just("by".to_owned()),
        Just("on".to_owned()),
        Just("é.x".to_owned()),
        Just("a b".to_owned()),
    ]
}

fn number() -> impl Strategy<Value = NumberLiteral> {
    let value = prop_oneof![
        (0u32..1_000_000).prop_map(f64::from),
        any::<f64>().prop_map(f64::abs),
        Just(f64::INFINITY)
    ];
    let plain = value.prop_map(|value| (value, false));
    let duration = (1u32..10_000_000).prop_map(|ms| (f64::from(ms) / 1000.0, true));
    prop_oneof![plain, duration].prop_map(|(value, is_duration)| NumberLiteral {
        value,
        is_duration,
        position: Position::default(),
    })
}

fn span() -> impl Strategy<Value = Span> {
    let at = Position::default();
    let leaf = prop_oneof![
        number()
            .prop_filter("finite", |number| number.value.is_finite())
            .prop_map(DurationExpr::Number),
        Just(DurationExpr::Step(at)),
        Just(DurationExpr::Range(at)),
    ];
    let expr = leaf.prop_recursive(3, 8, 2, move |inner| {
        (inner.clone(), inner, 0usize..3).prop_map(move |(left, right, kind)| {
            let paren = |expr| Box::new(DurationExpr::Paren(Box::new(expr), at));
            match kind {
                0 => DurationExpr::Binary(DurationOp::Min, Box::new(left), Box::new(right), at),
                1 => *paren(DurationExpr::Binary(
                    DurationOp::Pow,
                    paren(left),
                    paren(right),
                    at,
                )),
                _ => *paren(DurationExpr::Negate(paren(left), at)),
            }
        })
    });
    prop_oneof![
        (1i64..1_000_000_000).prop_map(Span::Ms),
        expr.prop_filter("literals are milliseconds", |expr| !matches!(
            expr,
            DurationExpr::Number(_)
        ))
        .prop_map(|expr| Span::Expr(Box::new(expr))),
    ]
}

fn modifiers() -> impl Strategy<Value = Modifiers> {
    let at = prop_oneof![
        Just(None),
        (-1_000_000i64..1_000_000_000).prop_map(|ms| Some(At::Time(ms))),
        Just(Some(At::Start)),
        Just(Some(At::End)),
    ];
    let offset = prop_oneof![
        Just(Span::Ms(0)),
        (-90_000i64..90_000).prop_map(Span::Ms),
        span()
    ];
    (offset, at).prop_map(|(offset, at)| Modifiers { offset, at })
}

fn selector() -> impl Strategy<Value = VectorSelector> {
    let matcher = (name(), 0usize..4, "[a-z\"\\\\\n]{0,4}").prop_map(|(name, op, value)| {
        let op = [
            MatchOp::Equal,
            MatchOp::NotEqual,
            MatchOp::Regex,
            MatchOp::NotRegex,
        ][op];
        let value = if matches!(op, MatchOp::Regex | MatchOp::NotRegex) {
            "a.*".to_owned()
        } else {
            value
        };
        Matcher::new(name, op, value).unwrap()
    });
    (
        name(),
        proptest::collection::vec(matcher, 0..3),
        modifiers(),
        any::<bool>(),
    )
        .prop_map(|(name, mut matchers, modifiers, named)| {
            // The parser gives no name outside of braces to what `on` and the like are called.
            let is_name = !expression::RESERVED.contains(&name.as_str());
            let named = named && is_name && model::name::is_legacy_metric_name(&name);
            matchers.push(Matcher::equal("__name__", &name));
            VectorSelector {
                name: named.then_some(name),
                matchers,
                modifiers,
                extension: Extension::None,
                position: Position::default(),
            }
        })
}

fn matching() -> impl Strategy<Value = VectorMatching> {
    let labels = || proptest::collection::vec(name(), 0..3);
    (
        labels(),
        labels(),
        any::<bool>(),
        0usize..3,
        proptest::option::of(number()),
    )
        .prop_map(|(labels, include, on, cardinality, fill)| {
            let cardinality = [
                Cardinality::OneToOne,
                Cardinality::ManyToOne,
                Cardinality::OneToMany,
            ][cardinality];
            let grouped = cardinality != Cardinality::OneToOne;
            let include = if grouped { include } else { Vec::new() };
            let labels = labels
                .into_iter()
                .filter(|label| !include.contains(label))
                .collect();
            VectorMatching {
                cardinality,
                labels,
                on,
                include,
                fill_left: fill,
                fill_right: None,
            }
        })
}

/// Trees that the parser could have built: operands are in parentheses wherever precedence would matter.
fn vector() -> impl Strategy<Value = Expr> {
    let at = Position::default();
    let leaf = selector().prop_map(|selector| Expr::Vector(Box::new(selector)));
    leaf.prop_recursive(5, 24, 3, move |inner| {
        let paren = move |expr| Expr::Paren(Box::new(Paren { expr, position: at }));
        let call = move |name: &str, args| {
            let function = Function::find(name).unwrap();
            Expr::Call(Box::new(Call {
                function,
                args,
                position: at,
            }))
        };
        prop_oneof![
            (inner.clone(), any::<bool>()).prop_map(move |(expr, negates)| {
                Expr::Unary(Box::new(Unary {
                    negates,
                    expr: paren(expr),
                    position: at,
                }))
            }),
            (inner.clone(), number())
                .prop_map(move |(expr, by)| call("round", vec![expr, Expr::Number(by)])),
            (selector(), span()).prop_map(move |(selector, range)| {
                call(
                    "rate",
                    vec![Expr::Matrix(Box::new(MatrixSelector {
                        selector,
                        range,
                        position: at,
                    }))],
                )
            }),
            (
                inner.clone(),
                span(),
                proptest::option::of(span()),
                modifiers()
            )
                .prop_map(move |(expr, range, step, modifiers)| {
                    let expr = paren(expr);
                    let subquery = Subquery {
                        expr,
                        range,
                        step,
                        modifiers,
                        position: at,
                    };
                    call("max_over_time", vec![Expr::Subquery(Box::new(subquery))])
                }),
            (
                inner.clone(),
                proptest::collection::vec(name(), 0..3),
                any::<bool>()
            )
                .prop_map(move |(expr, grouping, without)| {
                    let op = AggregateOp::Stddev;
                    let aggregate = Aggregate {
                        op,
                        expr,
                        parameter: None,
                        grouping,
                        without,
                        position: at,
                    };
                    Expr::Aggregate(Box::new(aggregate))
                }),
            (inner.clone(), inner, matching(), any::<bool>()).prop_map(
                move |(left, right, matching, compares)| {
                    let op = if compares {
                        BinaryOp::LessEqual
                    } else {
                        BinaryOp::Pow
                    };
                    Expr::Binary(Box::new(Binary {
                        op,
                        left: paren(left),
                        right: paren(right),
                        returns_bool: compares,
                        matching: Some(matching),
                        op_position: at,
                        position: at,
                    }))
                }
            ),
        ]
    })
}

proptest! {
    #[test]
    fn printed_reads_back(expr in vector()) {
        let printed = expr.to_string();
        prop_assert_eq!(parse(&printed).map_err(|e| format!("{e} in {printed}")), Ok(expr.clone()));
        let laid_out = crate::pretty(&expr);
        prop_assert_eq!(parse(&laid_out).map_err(|e| format!("{e} in {laid_out}")), Ok(expr));
    }

    #[test]
    fn any_text_is_parsed_or_refused(text in "[a-z0-9(){}\\[\\],:@+*^ \"=~!<>/]{0,40}") {
        let _ = parse(&text);
    }
}
