//! Text between comments, which neither GitHub nor rustdoc shows:
//!
//! ```text
//! <!-- figures: NAME -->
//!
//! replaced
//!
//! <!-- end -->
//! ```

const END: &str = "<!-- end -->";

fn start(name: &str) -> String {
    format!("<!-- figures: {name} -->")
}

/// The name in a line that starts such text.
fn name(line: &str) -> Option<&str> {
    line.strip_prefix("<!-- figures: ")?.strip_suffix(" -->")
}

/// Of all the texts of a page, in their order.
///
/// # Errors
///
/// One has no end, or one begins a second time.
pub(crate) fn names(page: &str) -> Result<Vec<&str>, String> {
    let mut names = Vec::new();
    let mut open: Option<&str> = None;
    for line in page.lines() {
        match (name(line), open) {
            (Some(_), Some(open)) => return Err(no_end(open)),
            (Some(name), None) if names.contains(&name) => {
                return Err(format!("{} stands there twice", start(name)));
            }
            (Some(name), None) => {
                names.push(name);
                open = Some(name);
            }
            (None, _) if line == END => open = None,
            (None, _) => {}
        }
    }
    open.map_or(Ok(names), |open| Err(no_end(open)))
}

fn no_end(name: &str) -> String {
    format!("{} has no {END}", start(name))
}

/// The page with this text between the markers of that name.
///
/// # Errors
///
/// Those of [`names`], and that there is no such marker.
pub(crate) fn replace(page: &str, name: &str, text: &str) -> Result<String, String> {
    let start = start(name);
    if !names(page)?.contains(&name) {
        return Err(format!("there is no {start}"));
    }
    let mut lines = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        inside &= line != END;
        if !inside {
            lines.push(line);
        }
        if line == start {
            inside = true;
            lines.extend(["", text.trim_end(), ""]);
        }
    }
    Ok(lines.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# a\n\n<!-- figures: x -->\n\nold\nold\n\n<!-- end -->\nb\n\
                        <!-- figures: y -->\n<!-- end -->\n\nc\n";

    #[test]
    fn what_stands_between_the_markers_is_replaced_and_nothing_else() {
        let page = replace(PAGE, "x", "new\n").unwrap();
        assert_eq!(page, PAGE.replace("old\nold\n", "new\n"));
        let page = replace(PAGE, "y", "new").unwrap();
        assert_eq!(page, PAGE.replace("y -->\n", "y -->\n\nnew\n\n"));
    }

    #[test]
    fn a_second_time_changes_nothing() {
        let once = replace(PAGE, "y", "new\n").unwrap();
        assert_eq!(replace(&once, "y", "new\n").unwrap(), once);
    }

    #[test]
    fn a_marker_without_an_end_is_an_error_that_names_it() {
        let last = "<!-- figures: x -->\nold\n";
        assert_eq!(replace(last, "x", "").unwrap_err(), "<!-- figures: x --> has no <!-- end -->");
        let another = PAGE.replacen("<!-- end -->\n", "", 1);
        let error = replace(&another, "y", "").unwrap_err();
        assert_eq!(error, "<!-- figures: x --> has no <!-- end -->");
    }

    #[test]
    fn a_marker_that_is_missing_or_stands_there_twice_is_an_error_that_names_it() {
        assert_eq!(replace(PAGE, "z", "").unwrap_err(), "there is no <!-- figures: z -->");
        let error = replace(&format!("{PAGE}{PAGE}"), "y", "").unwrap_err();
        assert_eq!(error, "<!-- figures: x --> stands there twice");
    }
}
