//! Finds out whether the peer is still there.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::task::Poll;
use std::time::Duration;

use evy_runtime::{Alarm, spawn_future};

use super::session::Session;

/// Pings the peer of a session every now and then, and ends it when nothing comes back. A future in the
/// background: it costs no stack.
pub(super) fn start(session: &Rc<Session>, interval: Duration, patience: Duration) {
    let session = Rc::downgrade(session);
    spawn_future(async move { ping(&session, interval, patience).await.unwrap_or_default() });
}

/// Ends, by `None`, with the session.
async fn ping(session: &Weak<Session>, interval: Duration, patience: Duration) -> Option<()> {
    loop {
        wait(session, interval).await?;
        let ping = session.upgrade()?.ping()?;
        wait(session, patience).await?;
        session.upgrade()?.end_if_silent(&ping, patience);
    }
}

/// Waits for some time, or for the end of the session.
async fn wait(session: &Weak<Session>, time: Duration) -> Option<()> {
    let mut alarm = pin!(Alarm::after(time));
    poll_fn(|context| {
        let lives = session.upgrade().is_some_and(|session| session.wake_at_end(context.waker()));
        if !lives {
            return Poll::Ready(None);
        }
        alarm.as_mut().poll(context).map(Some)
    })
    .await
}
