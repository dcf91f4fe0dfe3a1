//! What answers requests.

use crate::{IntoResponse, Request, Response};

/// What answers the requests of a server: any function from a [`Request`] to something that becomes a
/// [`Response`], or a [`Router`](crate::Router).
///
/// Each request is answered on a green thread of its own, so a handler may block; several run at once.
///
/// ```
/// use evy_http::{Handler, Request, StatusCode};
///
/// fn answers(handler: impl Handler) {
///     // …
/// #   drop(handler);
/// }
/// answers(|_request: Request| "hello");
/// answers(|_request: Request| StatusCode::NOT_FOUND);
/// answers(|mut request: Request| request.body_mut().text(1 << 20));
/// ```
pub trait Handler: 'static {
    /// Answers a request.
    ///
    /// ```
    /// use evy_http::{Handler, IntoResponse, Request, Response};
    ///
    /// struct Page(&'static str);
    ///
    /// impl Handler for Page {
    ///     fn handle(&self, _request: Request) -> Response {
    ///         self.0.into_response()
    ///     }
    /// }
    /// # let _ = Page;
    /// ```
    ///
    /// # Yields
    ///
    /// As it likes.
    fn handle(&self, request: Request) -> Response;
}

impl<F, R> Handler for F
where
    F: Fn(Request) -> R + 'static,
    R: IntoResponse,
{
    fn handle(&self, request: Request) -> Response {
        self(request).into_response()
    }
}
