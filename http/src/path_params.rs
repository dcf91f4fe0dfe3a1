//! What stands in a path where its route has names.

use std::ops::Index;

use matchit::Params;

/// What stands in a request's path where the path of its route has names: an extension of the request.
/// The values are as the client has sent them, percent signs and all.
///
/// ```
/// use evy_http::{PathParams, Request};
///
/// fn show(request: Request) -> String {
///     let params = request.extensions().get::<PathParams>().expect("its route has parameters");
///     format!("this is number {}\n", &params["id"])
/// }
/// # let _ = show;
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathParams(Vec<(String, String)>);

impl PathParams {
    /// Those that `found` says; `None` if there are none.
    pub(crate) fn of(found: &Params<'_, '_>) -> Option<Self> {
        let pairs: Vec<_> =
            found.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        (!pairs.is_empty()).then_some(Self(pairs))
    }

    /// What stands for `name`; `None` if the route's path has no such name.
    ///
    /// ```
    /// assert_eq!(evy_http::PathParams::default().get("id"), None);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// # Panics
///
/// When the route's path has no such name.
impl Index<&str> for PathParams {
    type Output = str;

    fn index(&self, name: &str) -> &str {
        self.get(name).unwrap_or_else(|| panic!("the path of this route has no {{{name}}}"))
    }
}
