//! Where charges are put into templates, and what is refused.

use super::insert;

#[test]
fn operands_that_may_be_containers_are_charged() {
    for (template, expected) in [
        ("{{ a ~ 'b' ~ c.d[0] }}", "{{ (a)|_charged ~ 'b' ~ (c.d[0])|_charged }}"),
        ("{{ a + b }}", "{{ (a)|_charged_items + (b)|_charged_items }}"),
        ("{{ '<' + m['role'] + '>' }}", "{{ '<' + m['role'] + '>' }}"),
        ("{% if m.role == 'user' %}", "{% if m.role == 'user' %}"),
        ("{% if a == b.c %}", "{% if (a)|_charged == b.c %}"),
        ("{% if 'x' in y and z not in w %}", "{% if 'x' in y and (z)|_charged not in w %}"),
        ("{% for a, b in c + d %}", "{% for a, b in (c)|_charged_items + (d)|_charged_items %}"),
        ("{{ a|join(b) }}", "{{ a|_charged|join((b)|_charged) }}"),
        ("{{ a|length }}{{ a|tojson }}", "{{ a|length }}{{ a|tojson }}"),
        ("{%- if a is defined and a is not none -%}", "{%- if a is defined and a is not none -%}"),
        ("{% if a is eq b %}", "{% if a|_charged is eq (b)|_charged %}"),
        ("{{ {a: b, 'c': d} }}", "{{ {(a)|_charged: (b)|_charged, 'c': (d)|_charged} }}"),
        (
            "{% set a = [b, 'c'] + d %}",
            "{% set a = ([(b)|_charged, 'c'])|_charged_items + (d)|_charged_items %}",
        ),
        ("{% set a.b = c %}", "{% set a.b = (c)|_held %}"),
        ("{% set a.b = false %}", "{% set a.b = false %}"),
        ("{% set a, b = c, 1 %}", "{% set a, b = (c)|_charged, 1 %}"),
        ("{% set a = (b, c) %}", "{% set a = ((b)|_charged, (c)|_charged) %}"),
        ("{% set a = (b) %}", "{% set a = (b) %}"),
        ("{% set a = dict(b=c) %}", "{% set a = dict(b=(c)|_charged) %}"),
        ("{% set a | upper %}b{% endset %}", "{% set a | upper %}b{% endset %}"),
        ("{{ x[i] ~ y[1:] }}", "{{ (x[(i)|_charged])|_charged ~ (y[1:])|_charged }}"),
        ("{{ loop.changed(a) }}", "{{ loop.changed((a)|_charged) }}"),
        (
            "{# a ~ b #}{% raw %}{{ a ~ b }}{% endraw %} { a ~ b }",
            "{# a ~ b #}{% raw %}{{ a ~ b }}{% endraw %} { a ~ b }",
        ),
        ("{{ a * b ~ c }}", "{{ (a * b)|_charged ~ (c)|_charged }}"),
        (
            "{{ (a ~ b if c else d) ~ e }}",
            "{{ (((a)|_charged ~ (b)|_charged if c else d))|_charged ~ (e)|_charged }}",
        ),
        ("{% set x %}{{ '}}' ~ \"%}\" }}", "{% set x %}{{ '}}' ~ \"%}\" }}"),
        ("{{ a-}} + {{+ b }}", "{{ a-}} + {{+ b }}"),
    ] {
        assert_eq!(insert(template).unwrap(), expected);
    }
}

#[test]
fn what_no_expression_has_is_told_with_its_line() {
    let error = insert("a\nb {{ é }}").unwrap_err();
    assert!(error.contains("line 2") && error.contains("'é'"), "{error}");
    let deep = format!("{{{{ {}1{} }}}}", "(".repeat(5000), ")".repeat(5000));
    assert!(insert(&deep).unwrap_err().contains("deeper"));
    assert!(insert(&format!("{{{{ {}x }}}}", "a if b else ".repeat(5000))).is_err());
}

#[test]
fn rows_of_operators_have_an_end() {
    for step in [
        "~'a'", " + 1", " * 2", " and 1", " or 1", " == 1", " in y", "|trim", ".a", "[0]", "()",
        " is odd", " if a",
    ] {
        let error = insert(&format!("{{{{ x{} }}}}", step.repeat(20_000))).unwrap_err();
        assert!(error.contains("in a row"), "{step}: {error}");
        insert(&format!("{{{{ x{} }}}}", step.repeat(100))).unwrap();
    }
    let branches = |count| {
        format!("{{% if a %}}{}{{% endif %}}", "{% elif b %}{% if c %}{% endif %}".repeat(count))
    };
    assert!(insert(&branches(20_000)).unwrap_err().contains("branches"));
    insert(&branches(100)).unwrap();
    for sign in ["-", "+", "not "] {
        assert!(insert(&format!("{{{{ y ~ {}x }}}}", sign.repeat(20_000))).is_err(), "{sign}");
    }
}
