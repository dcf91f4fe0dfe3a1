//! What a handler may return.

use std::io;

use bytes::Bytes;

use crate::{Body, BodyError, HeaderName, HeaderValue, Response, StatusCode, header};

/// What becomes a [`Response`].
///
/// A text becomes `200 OK` with its type, bytes become one without, a [`StatusCode`] becomes an answer
/// with its reason as the text; [`Html`] is for pages. In a pair with one of them, a [`StatusCode`] is the
/// answer's, and an array of headers is added to it, in the place of what it has by those names. Of a
/// `Result`, the error becomes an answer too: an [`io::Error`] is a client's fault where it says that the
/// request's body is too large or broken, and our own (500, and a line on standard error) else.
///
/// ```
/// use evy_http::{HeaderValue, IntoResponse, StatusCode, header};
///
/// assert_eq!("hello".into_response().status(), StatusCode::OK);
/// assert_eq!(StatusCode::NOT_FOUND.into_response().status(), StatusCode::NOT_FOUND);
/// assert_eq!((StatusCode::CREATED, "made").into_response().status(), StatusCode::CREATED);
///
/// let never = HeaderValue::from_static("no-store");
/// let response = ([(header::CACHE_CONTROL, never)], "secret").into_response();
/// assert_eq!(response.headers()["cache-control"], "no-store");
/// ```
pub trait IntoResponse {
    /// Makes a response of it.
    ///
    /// ```
    /// use evy_http::IntoResponse;
    ///
    /// let response = String::from("hello").into_response();
    /// assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    fn into_response(self) -> Response;
}

impl IntoResponse for Response {
    fn into_response(self) -> Response {
        self
    }
}

impl IntoResponse for Body {
    fn into_response(self) -> Response {
        Response::new(self)
    }
}

impl IntoResponse for () {
    fn into_response(self) -> Response {
        Response::new(Body::empty())
    }
}

fn text(body: Body) -> Response {
    typed(body, "text/plain; charset=utf-8")
}

fn typed(body: Body, content_type: &'static str) -> Response {
    let mut response = Response::new(body);
    let content_type = HeaderValue::from_static(content_type);
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}

/// A page: text or bytes that are HTML, in UTF-8. It becomes a response of that type.
///
/// ```
/// use evy_http::{Html, IntoResponse};
///
/// let response = Html("<!DOCTYPE html><title>hello</title>").into_response();
/// assert_eq!(response.headers()["content-type"], "text/html; charset=utf-8");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Html<T>(pub T);

impl<T: Into<Body>> IntoResponse for Html<T> {
    fn into_response(self) -> Response {
        typed(self.0.into(), "text/html; charset=utf-8")
    }
}

impl IntoResponse for &'static str {
    fn into_response(self) -> Response {
        text(self.into())
    }
}

impl IntoResponse for String {
    fn into_response(self) -> Response {
        text(self.into())
    }
}

impl IntoResponse for &'static [u8] {
    fn into_response(self) -> Response {
        Response::new(self.into())
    }
}

impl IntoResponse for Vec<u8> {
    fn into_response(self) -> Response {
        Response::new(self.into())
    }
}

impl IntoResponse for Bytes {
    fn into_response(self) -> Response {
        Response::new(self.into())
    }
}

impl IntoResponse for StatusCode {
    fn into_response(self) -> Response {
        let mut response = match self.canonical_reason() {
            Some(reason) if !self.is_informational() && !has_no_body(self) => {
                text(format!("{reason}\n").into())
            }
            _ => Response::new(Body::empty()),
        };
        *response.status_mut() = self;
        response
    }
}

/// Whether an answer of this status never has a body.
pub(crate) fn has_no_body(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED)
}

impl<T: IntoResponse> IntoResponse for (StatusCode, T) {
    fn into_response(self) -> Response {
        let mut response = self.1.into_response();
        *response.status_mut() = self.0;
        response
    }
}

impl<T: IntoResponse, const N: usize> IntoResponse for ([(HeaderName, HeaderValue); N], T) {
    fn into_response(self) -> Response {
        let mut response = self.1.into_response();
        let headers = response.headers_mut();
        for (name, _) in &self.0 {
            headers.remove(name);
        }
        // A name may be there more than once.
        for (name, value) in self.0 {
            headers.append(name, value);
        }
        response
    }
}

impl<T: IntoResponse, E: IntoResponse> IntoResponse for Result<T, E> {
    fn into_response(self) -> Response {
        match self {
            Ok(value) => value.into_response(),
            Err(error) => error.into_response(),
        }
    }
}

impl IntoResponse for BodyError {
    fn into_response(self) -> Response {
        (self.status(), format!("{self}\n")).into_response()
    }
}

impl IntoResponse for io::Error {
    fn into_response(self) -> Response {
        match self.get_ref().and_then(|error| error.downcast_ref::<BodyError>()) {
            Some(error) => error.into_response(),
            None => {
                crate::core::tell(format_args!("a handler of HTTP has failed: {self}"));
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }
}
