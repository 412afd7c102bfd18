//! Pages of a list that are longer than other answers.

use oncepay::provider::Found;
use tokio::join;

use super::server::{Peer, Server};
use super::*;

const MIB: usize = 1024 * 1024;

/// One question for the first page of what was made; `answer` is the other side.
async fn asked(answer: impl AsyncFnOnce(Server)) -> Found {
    let server = Server::start().await;
    let provider = provider(&server.url, PATIENCE);
    let call = call(&provider);
    let mut search = search();
    let (found, ()) = join!(provider.find(&call, &mut search), answer(server));
    found
}

/// The next request, which comes on a connection of its own after a body that was not read to its end.
async fn next(server: &Server) -> (Peer, String) {
    let mut peer = server.accept().await;
    let request = peer.request().await;
    (peer, request.lines().next().unwrap().to_owned())
}

fn page() -> String {
    let intent = intent("succeeded");
    format!(r#"{{"object":"list","has_more":false,"data":[{intent}]}}"#)
}

#[tokio::test]
async fn a_page_is_read_that_is_longer_than_any_other_answer() {
    let found = asked(async |server: Server| {
        let (mut peer, _) = next(&server).await;
        peer.answer("200 OK", &(page() + &" ".repeat(6 * MIB)))
            .await;
    });
    let Found::There(outcome) = found.await else {
        panic!("it is on the page");
    };
    assert_eq!(line(&outcome), "approved pi_1");
}

#[tokio::test]
async fn a_page_that_is_too_long_is_asked_for_in_smaller_ones() {
    let found = asked(async |server: Server| {
        let (mut peer, whole) = next(&server).await;
        peer.flood(9 * MIB).await;
        let (mut peer, part) = next(&server).await;
        peer.answer("200 OK", &page()).await;
        assert_eq!(part, whole.replace("limit=100", "limit=10"));
        assert_ne!(part, whole);
    });
    let Found::There(outcome) = found.await else {
        panic!("it is on the page");
    };
    assert_eq!(line(&outcome), "approved pi_1");
}

#[tokio::test]
async fn an_endless_page_is_not_read_to_its_end() {
    let found = asked(async |server: Server| {
        for _ in 0..2 {
            let (mut peer, _) = next(&server).await;
            peer.flood(64 * MIB).await;
        }
    });
    let Found::Unanswered(outcome) = found.await else {
        panic!("nothing was read");
    };
    assert_eq!(line(&outcome), in_doubt(InDoubtReason::Unreadable));
}
