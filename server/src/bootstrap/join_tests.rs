//! Whom the answers of peers let join, and what the others are told.

use super::*;

/// Member `c` of a cluster of three.
fn config(initial_cluster: &str) -> ServerConfig {
    let arguments = [
        "--name=c".to_owned(),
        "--initial-advertise-peer-urls=http://127.0.0.1:3".to_owned(),
        format!("--initial-cluster={initial_cluster}"),
        "--initial-cluster-state=existing".to_owned(),
    ];
    crate::config::load(&arguments, &[]).unwrap().config
}

const ALL: &str = "a=http://127.0.0.1:1,b=http://127.0.0.1:2,c=http://127.0.0.1:3";

fn roster(cluster_id: u64, ports: &[u64]) -> Roster {
    let member = |port: &u64| quoin_raft::Member {
        id: 100 + port,
        peer_urls: vec![format!("http://127.0.0.1:{port}")],
        ..quoin_raft::Member::default()
    };
    Roster {
        cluster_id,
        member_id: 101,
        members: ports.iter().map(member).collect(),
        removed: vec![9],
    }
}

#[test]
fn a_listed_member_gets_the_ids_of_the_cluster() {
    let answers = [("one", Ok(roster(7, &[1, 2, 3])))];
    let joined = decide(&config(ALL), &answers).unwrap().unwrap();
    let expected = Joined {
        cluster_id: 7,
        member_id: 103,
    };
    assert_eq!(joined, expected);
}

#[test]
fn a_member_that_has_run_before_is_refused() {
    let mut roster = roster(7, &[1, 2, 3]);
    roster.members[2].name = "c".to_owned();
    let answers = [("one", Ok(roster))];
    assert!(decide(&config(ALL), &answers).is_none());
    let error = refusal(&config(ALL), &answers).to_string();
    assert_eq!(error, "member 67 has already been bootstrapped");
}

#[test]
fn a_peer_that_is_behind_decides_nothing() {
    let mut answers = vec![("one", Ok(roster(7, &[1, 2])))];
    assert!(decide(&config(ALL), &answers).is_none());
    answers.push(("two", Ok(roster(7, &[1, 2, 3]))));
    assert!(decide(&config(ALL), &answers).unwrap().is_ok());
}

#[test]
fn lists_that_do_not_match_are_told_apart() {
    let told = |initial: &str, ports: &[u64]| {
        let answers = [("one", Ok(roster(7, ports)))];
        assert!(decide(&config(initial), &answers).is_none());
        refusal(&config(initial), &answers).to_string()
    };
    let count = told(ALL, &[1, 2]);
    assert!(count.contains("member count is unequal"), "{count}");
    assert!(count.contains("RemovedMemberIDs:[9]"), "{count}");
    let url = told(ALL, &[1, 2, 4]);
    assert!(
        url.contains("no match found for c=http://127.0.0.1:3"),
        "{url}"
    );
    assert!(!url.contains('\n'));
}

#[test]
fn peers_of_two_clusters_are_refused() {
    let answers = [
        ("one", Ok(roster(7, &[1, 2]))),
        ("two", Ok(roster(8, &[1, 2, 3]))),
    ];
    let error = decide(&config(ALL), &answers).unwrap().unwrap_err();
    assert!(
        error
            .to_string()
            .contains("different clusters: one to 7, two to 8")
    );
}

#[tokio::test]
async fn nobody_to_ask_and_nobody_who_answers_are_said() {
    let alone = join(&config("c=http://127.0.0.1:3")).await.unwrap_err();
    assert!(matches!(alone, JoinError::Alone), "{alone}");
    let silent = join(&config(ALL)).await.unwrap_err().to_string();
    assert!(
        silent.contains("could not retrieve cluster information"),
        "{silent}"
    );
}
