//! Which handler answers which request.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::{
    Handler, HeaderValue, IntoResponse, Method, PathParams, Request, Response, StatusCode, header,
};

/// Handlers by method and path.
///
/// A path may have parts that stand for anything: `{name}` for one segment, `{*name}` for all that is
/// left; a handler finds them in the request's extensions, as [`PathParams`]. A path that has no handler
/// is `404 Not Found`, one that has handlers for other methods only is `405 Method Not Allowed`, with
/// those methods in `Allow`.
///
/// Two methods need no handler of their own. `HEAD` is answered by the one for `GET`, without the body.
/// `OPTIONS` is `204 No Content`, with the methods of the path in `Allow`; for `*` they are those of all
/// paths.
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
    routes: Vec<(String, Route)>,
    fallback: Option<Box<dyn Handler>>,
}

/// The handlers of one path.
#[derive(Default)]
struct Route {
    by_method: BTreeMap<String, Box<dyn Handler>>,
    /// For all other methods.
    any: Option<Box<dyn Handler>>,
}

/// What a handler for any method is there for, as far as `Allow` says.
const ANY: [Method; 5] = [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::PATCH];

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
        let by_method = &mut self.routes[number].1.by_method;
        let before = by_method.insert(method.to_string(), Box::new(handler));
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
    ///     .post("/", |mut request: Request| request.body_mut().text(1 << 20));
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

    /// [`route`](Self::route) for `PUT`.
    ///
    /// ```
    /// use evy_http::{Request, Router, StatusCode};
    ///
    /// let router = Router::new().put("/things/{id}", |mut request: Request| {
    ///     request.body_mut().text(1 << 20).map(|_thing| StatusCode::NO_CONTENT)
    /// });
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
    pub fn put(self, path: &str, handler: impl Handler) -> Self {
        self.route(Method::PUT, path, handler)
    }

    /// [`route`](Self::route) for `DELETE`.
    ///
    /// ```
    /// use evy_http::{Request, Router, StatusCode};
    ///
    /// let router = Router::new().delete("/things/{id}", |_: Request| StatusCode::NO_CONTENT);
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
    pub fn delete(self, path: &str, handler: impl Handler) -> Self {
        self.route(Method::DELETE, path, handler)
    }

    /// [`route`](Self::route) for `PATCH`.
    ///
    /// ```
    /// use evy_http::{Request, Router};
    ///
    /// let router = Router::new()
    ///     .patch("/things/{id}", |mut request: Request| request.body_mut().text(1 << 20));
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
    pub fn patch(self, path: &str, handler: impl Handler) -> Self {
        self.route(Method::PATCH, path, handler)
    }

    /// [`route`](Self::route) for `HEAD`. Its answer is sent without a body, whatever it has. Without
    /// such a handler the one for `GET` is asked.
    ///
    /// ```
    /// use evy_http::{Request, Router};
    ///
    /// let router = Router::new().head("/", |_: Request| ()).get("/", |_: Request| "a long text");
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
    pub fn head(self, path: &str, handler: impl Handler) -> Self {
        self.route(Method::HEAD, path, handler)
    }

    /// [`route`](Self::route) for `OPTIONS`. Without such a handler it is `204 No Content`, with the
    /// methods of the path in `Allow`.
    ///
    /// ```
    /// use evy_http::{HeaderValue, Request, Router, StatusCode, header};
    ///
    /// let router = Router::new().options("/things", |_: Request| {
    ///     let origin = HeaderValue::from_static("https://example.org");
    ///     ([(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin)], StatusCode::NO_CONTENT)
    /// });
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
    pub fn options(self, path: &str, handler: impl Handler) -> Self {
        self.route(Method::OPTIONS, path, handler)
    }

    /// Has `handler` answer requests for `path` of every method that has no handler of its own there,
    /// `OPTIONS` too.
    ///
    /// ```
    /// use evy_http::{Request, Router};
    ///
    /// let router = Router::new()
    ///     .get("/things", |_: Request| "all of them\n")
    ///     .any("/things", |request: Request| format!("no {} here\n", request.method()));
    /// # drop(router);
    /// ```
    ///
    /// # Panics
    ///
    /// When the path is none, is in the way of another one, or has a handler for any method.
    ///
    /// # Yields
    ///
    /// Never.
    #[track_caller]
    pub fn any(mut self, path: &str, handler: impl Handler) -> Self {
        let number = self.number_of(path);
        let before = self.routes[number].1.any.replace(Box::new(handler));
        assert!(before.is_none(), "there is a handler for any method of {path} already");
        self
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
        self.routes.push((path.to_owned(), Route::default()));
        number
    }
}

impl Handler for Router {
    fn handle(&self, mut request: Request) -> Response {
        let path = request.uri().path();
        let Ok(found) = self.paths.at(path) else {
            // RFC 9110, 9.3.7: that is about the server as a whole.
            return match &self.fallback {
                _ if path == "*" => allow(StatusCode::NO_CONTENT, self.routes.iter()),
                Some(handler) => handler.handle(request),
                None => StatusCode::NOT_FOUND.into_response(),
            };
        };
        let route = &self.routes[*found.value];
        let params = PathParams::of(&found.params);
        let Some(handler) = route.1.handler(request.method()) else {
            let is_question = request.method() == Method::OPTIONS;
            let status =
                if is_question { StatusCode::NO_CONTENT } else { StatusCode::METHOD_NOT_ALLOWED };
            return allow(status, [route]);
        };
        if let Some(params) = params {
            request.extensions_mut().insert(params);
        }
        handler.handle(request)
    }
}

impl Route {
    fn handler(&self, method: &Method) -> Option<&dyn Handler> {
        let of = |method: &Method| self.by_method.get(method.as_str());
        of(method)
            .or_else(|| if method == Method::HEAD { of(&Method::GET) } else { None })
            .or(self.any.as_ref())
            .map(|handler| &**handler)
    }

    /// The methods that it answers, as far as there are names for them.
    fn methods(&self) -> impl Iterator<Item = &str> {
        let others = if self.any.is_some() { &ANY[..] } else { &[] };
        self.by_method.keys().map(String::as_str).chain(others.iter().map(Method::as_str))
    }
}

/// An answer without more than the methods of these routes.
fn allow<'a>(
    status: StatusCode,
    routes: impl IntoIterator<Item = &'a (String, Route)>,
) -> Response {
    let mut methods: BTreeSet<&str> =
        routes.into_iter().flat_map(|(_path, route)| route.methods()).collect();
    methods.insert("OPTIONS");
    if methods.contains("GET") {
        methods.insert("HEAD");
    }
    let methods: Vec<&str> = methods.into_iter().collect();
    let methods = HeaderValue::from_str(&methods.join(", ")).expect("methods are tokens");
    ([(header::ALLOW, methods)], status).into_response()
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.routes.iter().map(|(path, route)| (path, route))).finish()
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let any = self.any.as_ref().map(|_| "any");
        f.debug_list().entries(self.by_method.keys().map(String::as_str).chain(any)).finish()
    }
}
