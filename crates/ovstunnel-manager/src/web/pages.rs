//! Pages of a long list, and links that keep what was filtered by. Must not hold a list.

use maud::{Markup, html};
use ovstunnel_server::extract::from_query;
use ovstunnel_server::problem::ApiError;
use serde::de::DeserializeOwned;

use super::words::grouped_number;

/// A path with its parameters, those that have a value.
pub(super) fn link_to(path: &str, parameters: &[(&str, &str)]) -> String {
    let there = parameters.iter().filter(|(_, value)| !value.is_empty());
    let text: Vec<String> = there.map(|(name, value)| format!("{name}={}", percent_encoded(value))).collect();
    if text.is_empty() { path.to_owned() } else { format!("{path}?{}", text.join("&")) }
}

/// The parameters of a request to the API, by its own rules; those without a value are not given.
pub(super) fn api_query<T: DeserializeOwned>(parameters: &[(&str, &str)]) -> Result<T, ApiError> {
    from_query(link_to("", parameters).trim_start_matches('?'))
}

/// Which page of a list is meant; the first where nothing is said.
pub(super) fn page_number(text: &str) -> Result<usize, ApiError> {
    if text.is_empty() { Ok(1) } else { whole_number("page", text, 1_000_000) }
}

/// A number from 1 to the most.
pub(super) fn whole_number(field: &str, text: &str, most: usize) -> Result<usize, ApiError> {
    let number = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    let rule = || format!("must be a whole number from 1 to {most}");
    number.filter(|number| (1..=most).contains(number)).ok_or_else(|| ApiError::invalid(field, rule(), Some(text)))
}

/// What stands for a text in a path or a parameter.
pub(super) fn percent_encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~,".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// One field of a list's filter: its parameter, its label, its value, and the values that there are with their words; any text where there
/// are none.
pub(super) struct Field<'a>(pub &'a str, pub &'a str, pub &'a str, pub &'a [(&'a str, &'a str)]);

/// The form above a list by which it is filtered.
pub(super) fn filter_form(title: &str, path: &str, fields: &[Field<'_>]) -> Markup {
    html! {
        h1 { (title) }
        form class="filter" action=(path) {
            @for Field(name, label, value, choices) in fields {
                label { (label) " "
                    @if choices.is_empty() {
                        input name=(name) type=(if *name == "search" { "search" } else { "text" }) value=(value) maxlength="63" autocomplete="off";
                    } @else {
                        select name=(name) { @for (choice, word) in *choices { option value=(choice) selected[choice == value] { (word) } } }
                    }
                }
            }
            button class="btn go" { "Show" }
            @if fields.iter().any(|Field(_, _, value, _)| !value.is_empty()) { a class="btn" href=(path) { "All" } }
        }
    }
}

/// The form for what is filtered by host, network and kind.
pub(super) fn filter_subject(title: &str, path: &str, filters: &[(&str, &str); 3]) -> Markup {
    let [(host, of_host), (network, of_network), (kind, of_kind)] = *filters;
    let fields = [
        Field(host, "Host", of_host, &[]),
        Field(network, "Network", of_network, &[]),
        Field(kind, "Kind", of_kind, &[]),
    ];
    filter_form(title, path, &fields)
}

/// The rows of one page of a list that is at hand.
pub(super) fn rows_of<T>(all: &[T], page: usize, limit: usize) -> &[T] {
    let first = (page - 1).saturating_mul(limit).min(all.len());
    &all[first..(first + limit).min(all.len())]
}

/// Which rows of how many are shown, and the way to the others. `to` makes the link to a page.
pub(super) fn page_links(page: usize, limit: usize, total: usize, to: impl Fn(usize) -> String) -> Markup {
    let first = (page - 1).saturating_mul(limit);
    let last = (first + limit).min(total);
    html! {
        nav class="turn" aria-label="Pages" {
            @if total == 0 { span { "none" } }
            @else if first >= total { span { "page " (grouped_number(page as u64)) " has no rows: there are " (grouped_number(total as u64)) } }
            @else { span { (grouped_number(first as u64 + 1)) " to " (grouped_number(last as u64)) " of " (grouped_number(total as u64)) } }
            @if page > 1 { a class="btn" rel="prev" href=(to((page - 1).min(total.div_ceil(limit).max(1)))) { "Back" } }
            @if last < total { a class="btn" rel="next" href=(to(page + 1)) { "Next" } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_keeps_its_filters_and_nothing_else() {
        assert_eq!(
            link_to("/networks", &[("state", ""), ("search", "a b&c"), ("page", "2")]),
            "/networks?search=a%20b%26c&page=2"
        );
        assert_eq!(link_to("/networks", &[("state", "")]), "/networks");
    }

    #[test]
    fn the_first_page_has_no_way_back_and_the_last_none_on() {
        let turn = |page| page_links(page, 50, 120, |n| format!("?page={n}")).into_string();
        assert!(turn(1).contains("1 to 50 of 120") && turn(1).contains("?page=2") && !turn(1).contains("Back"));
        assert!(turn(3).contains("101 to 120 of 120") && turn(3).contains("?page=2") && !turn(3).contains("Next"));
        assert!(turn(9).contains("page 9 has no rows"), "{}", turn(9));
    }
}
