//! Which handler answers which request.

use std::collections::BTreeMap;
use std::fmt;

use crate::{Handler, HeaderValue, IntoResponse, Method, Request, Response, StatusCode, header};

/// Handlers by method and path.
///
/// A path may have parts that stand for anything: `{name}` for one segment, `{*name}` for all that is
/// left; a handler finds them in the request's extensions, as [`PathParams`]. A path that has no handler
/// is `404 Not Found`, one that has handlers for other methods only is `405 Method Not Allowed`. `HEAD`
/// is answered by the handler for `GET`, without the body.
///
/// ```
/// use evy_http::{PathParams, Request, Router};
///
/// fn greet(request: Request) -> String {
///     let params = request.extensions().get::<PathParams>().expect("the path has one");
///     format!("hello {}\n", &params["name"])
/// }
///
/// let router = Router::new()
///     .get("/", |_: Request| "ask me for /hello/NAME\n")
///     .get("/hello/{name}", greet);
/// # drop(router);
/// ```
#[derive(Default)]
pub struct Router {
    paths: matchit::Router<usize>,
    /// By number: the path, and its handlers.
    routes: Vec<(String, ByMethod)>,
    fallback: Option<Box<dyn Handler>>,
}

type ByMethod = BTreeMap<String, Box<dyn Handler>>;

impl Router {
    /// One without handlers.
    ///
    /// ```
    /// let router = evy_http::Router::new();
    /// # drop(router);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn new() -> Self {
        Self::default()
    }

    /// Has `handler` answer requests of `method` for `path`.
    ///
    /// ```
    /// use evy_http::{Method, Request, Router, StatusCode};
    ///
    /// let router = Router::new()
    ///     .route(Method::DELETE, "/things/{id}", |_: Request| StatusCode::NO_CONTENT);
    /// # drop(router);
    /// ```
    ///
    /// # Panics
    ///
    /// When the path is none, is in the way of another one, or has a handler for that method.
    ///
    /// # Yields
    ///
    /// Never.
    #[track_caller]
    pub fn route(mut self, method: Method, path: &str, handler: impl Handler) -> Self {
        let number = self.number_of(path);
        let handlers = &mut self.routes[number].1;
        let before = handlers.insert(method.to_string(), Box::new(handler));
        assert!(before.is_none(), "there is a handler for {method} {path} already");
        self
    }

    /// [`route`](Self::route) for `GET`, and `HEAD`.
    ///
    /// ```
    /// let router = evy_http::Router::new().get("/", |_: evy_http::Request| "hello");
    /// # drop(router);
    /// ```
    ///
    /// # Panics
    ///
    /// As `route`.
    ///
    /// # Yields
    ///
    /// Never.
    #[track_caller]
    pub fn get(self, path: &str, handler: impl Handler) -> Self {
        self.route(Method::GET, path, handler)
    }

    /// [`route`](Self::route) for `POST`.
    ///
    /// ```
    /// use evy_http::{Request, Router};
    ///
    /// let router = Router::new()
    ///     .post("/", |request: Request| std::io::read_to_string(request.into_body()));
    /// # drop(router);
    /// ```
    ///
    /// # Panics
    ///
    /// As `route`.
    ///
    /// # Yields
    ///
    /// Never.
    #[track_caller]
    pub fn post(self, path: &str, handler: impl Handler) -> Self {
        self.route(Method::POST, path, handler)
    }

    /// Has `handler` answer requests whose path has no handler; without one it is `404 Not Found`.
    ///
    /// ```
    /// use evy_http::{Request, Router, StatusCode};
    ///
    /// let router =
    ///     Router::new().fallback(|_: Request| (StatusCode::NOT_FOUND, "there is no such page\n"));
    /// # drop(router);
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    pub fn fallback(mut self, handler: impl Handler) -> Self {
        self.fallback = Some(Box::new(handler));
        self
    }

    #[track_caller]
    fn number_of(&mut self, path: &str) -> usize {
        if let Some(number) = self.routes.iter().position(|(known, _)| known == path) {
            return number;
        }
        let number = self.routes.len();
        if let Err(error) = self.paths.insert(path, number) {
            panic!("{path} cannot be a path of this router: {error}");
        }
        self.routes.push((path.to_owned(), BTreeMap::new()));
        number
    }
}

impl Handler for Router {
    fn handle(&self, mut request: Request) -> Response {
        let Ok(found) = self.paths.at(request.uri().path()) else {
            return match &self.fallback {
                Some(handler) => handler.handle(request),
                None => StatusCode::NOT_FOUND.into_response(),
            };
        };
        let params: Vec<(String, String)> =
            found.params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let handlers = &self.routes[*found.value].1;
        let by_method = handlers.get(request.method().as_str());
        let is_head = request.method() == Method::HEAD;
        let handler = by_method.or_else(|| if is_head { handlers.get("GET") } else { None });
        let Some(handler) = handler else { return not_allowed(handlers) };
        if !params.is_empty() {
            request.extensions_mut().insert(PathParams(params));
        }
        handler.handle(request)
    }
}

fn not_allowed(handlers: &ByMethod) -> Response {
    let mut allowed: Vec<&str> = handlers.keys().map(String::as_str).collect();
    if handlers.contains_key("GET") && !handlers.contains_key("HEAD") {
        allowed.push("HEAD");
    }
    let mut response = StatusCode::METHOD_NOT_ALLOWED.into_response();
    let allowed = HeaderValue::from_str(&allowed.join(", ")).expect("methods are tokens");
    response.headers_mut().insert(header::ALLOW, allowed);
    response
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let routes = self.routes.iter().map(|(path, handlers)| (path, handlers.keys()));
        f.debug_map()
            .entries(routes.map(|(path, methods)| (path, methods.collect::<Vec<_>>())))
            .finish()
    }
}

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
impl std::ops::Index<&str> for PathParams {
    type Output = str;

    fn index(&self, name: &str) -> &str {
        self.get(name).unwrap_or_else(|| panic!("the path of this route has no {{{name}}}"))
    }
}
