//! Alarms that are active somewhere in the cluster.
//!
//! Replicated: every change comes through apply, so all members agree. Rows
//! are keyed by the encoded `AlarmMember` and have no value, as etcd stores
//! them. A CORRUPT alarm that concerns nobody but the member it names, because a
//! quorum agrees that only that one is wrong, has a value that says so: it is
//! listed like any other and refuses nothing.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use parking_lot::RwLock;
use prost::Message;
use quoin_proto::{
    etcdserverpb::{AlarmMember, AlarmType},
    quoinpb::QuarantineRecord,
};

/// The set of active alarms. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Alarms {
    /// By member id and alarm type; whom it concerns. Held for a look-up or a
    /// change.
    active: Arc<RwLock<BTreeMap<(u64, i32), Concern>>>,
}

/// Whom an alarm concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Concern {
    /// The whole cluster, as in etcd.
    Cluster,
    /// The member it names, whose state differs since this log index.
    Member(u64),
}

impl Alarms {
    /// Reads stored rows back; a row that is no `AlarmMember` is reported.
    ///
    /// # Errors
    /// A row cannot be decoded.
    pub(crate) fn recover(
        &self,
        rows: impl Iterator<Item = (Bytes, Bytes)>,
    ) -> Result<(), prost::DecodeError> {
        let mut active = BTreeMap::new();
        for (key, value) in rows {
            let alarm = AlarmMember::decode(key)?;
            let concern = if value.is_empty() {
                Concern::Cluster
            } else {
                Concern::Member(QuarantineRecord::decode(value)?.index)
            };
            active.insert((alarm.member_id, alarm.alarm), concern);
        }
        *self.active.write() = active;
        Ok(())
    }

    /// Raises an alarm; raising it again changes nothing.
    pub(crate) fn activate(&self, alarm: &AlarmMember) {
        let key = (alarm.member_id, alarm.alarm);
        self.active.write().insert(key, Concern::Cluster);
    }

    /// Raises CORRUPT for a member that alone is concerned; answers the row's
    /// value. `None` if the alarm is active for the whole cluster: it stays so.
    pub(crate) fn quarantine(&self, member_id: u64, index: u64) -> Option<Bytes> {
        // An empty value would be an alarm of etcd's kind.
        let index = index.max(1);
        let key = (member_id, AlarmType::Corrupt as i32);
        let mut active = self.active.write();
        if active.get(&key) == Some(&Concern::Cluster) {
            return None;
        }
        active.insert(key, Concern::Member(index));
        Some(QuarantineRecord { index }.encode_to_vec().into())
    }

    /// CORRUPT is active for this member, alone or with the whole cluster.
    pub(crate) fn is_corrupt(&self, member_id: u64) -> bool {
        let key = (member_id, AlarmType::Corrupt as i32);
        self.active.read().contains_key(&key)
    }

    /// Since which entry this member's state differs, if CORRUPT is active for it and
    /// concerns it alone.
    pub(crate) fn quarantined_since(&self, member_id: u64) -> Option<u64> {
        let key = (member_id, AlarmType::Corrupt as i32);
        match self.active.read().get(&key) {
            Some(Concern::Member(index)) => Some(*index),
            Some(Concern::Cluster) | None => None,
        }
    }

    /// Clears exactly this alarm; false if it was not active.
    pub(crate) fn deactivate(&self, alarm: &AlarmMember) -> bool {
        let key = (alarm.member_id, alarm.alarm);
        self.active.write().remove(&key).is_some()
    }

    /// Active alarms of one type, or all for type NONE.
    pub(crate) fn list(&self, alarm_type: i32) -> Vec<AlarmMember> {
        let wanted = |alarm: i32| alarm_type == AlarmType::None as i32 || alarm == alarm_type;
        let active = self.active.read();
        let matching = active.keys().filter(|(_, alarm)| wanted(*alarm));
        matching
            .map(|&(member_id, alarm)| AlarmMember { member_id, alarm })
            .collect()
    }

    /// Some member has run out of space.
    pub(crate) fn no_space(&self) -> bool {
        self.is_active(AlarmType::Nospace)
    }

    /// Some member's data differs, and it is not known that others are sound.
    pub(crate) fn corrupt(&self) -> bool {
        self.is_active(AlarmType::Corrupt)
    }

    /// Types of the alarms that concern the whole cluster, each once.
    pub(crate) fn of_cluster(&self) -> Vec<i32> {
        let active = self.active.read();
        let of_cluster = active.iter().filter(|(_, of)| **of == Concern::Cluster);
        let mut types: Vec<i32> = of_cluster.map(|((_, alarm), _)| *alarm).collect();
        types.sort_unstable();
        types.dedup();
        types
    }

    fn is_active(&self, alarm_type: AlarmType) -> bool {
        let active = self.active.read();
        let mut of_type = active
            .iter()
            .filter(|((_, alarm), _)| *alarm == alarm_type as i32);
        of_type.any(|(_, concern)| *concern == Concern::Cluster)
    }
}

/// The stored row of an alarm.
pub(crate) fn row_key(alarm: &AlarmMember) -> Bytes {
    alarm.encode_to_vec().into()
}

/// The text etcd shows for an alarm: protobuf text form without zero fields.
pub(crate) fn describe(alarm: &AlarmMember) -> String {
    let name = match AlarmType::try_from(alarm.alarm) {
        Ok(AlarmType::None) => String::new(),
        Ok(known) => format!("alarm:{}", known.as_str_name()),
        Err(_) => format!("alarm:{}", alarm.alarm),
    };
    match alarm.member_id {
        0 => name,
        id if name.is_empty() => format!("memberID:{id}"),
        id => format!("memberID:{id} {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn no_space(member_id: u64) -> AlarmMember {
        AlarmMember {
            member_id,
            alarm: AlarmType::Nospace as i32,
        }
    }

    #[test]
    fn an_alarm_stays_until_exactly_it_is_cleared() {
        let alarms = Alarms::default();
        alarms.activate(&no_space(5));
        alarms.activate(&no_space(5));
        assert!(alarms.no_space() && !alarms.corrupt());
        assert!(!alarms.deactivate(&no_space(0)));
        assert_eq!(alarms.list(AlarmType::Corrupt as i32), vec![]);
        assert_eq!(alarms.list(0), vec![no_space(5)]);
        assert!(alarms.deactivate(&no_space(5)));
        assert!(!alarms.no_space());
    }

    #[test]
    fn rows_survive_a_restart_and_bad_rows_are_reported() {
        let alarms = Alarms::default();
        let row = |key, value: &'static [u8]| [(key, Bytes::from_static(value))].into_iter();
        alarms.recover(row(row_key(&no_space(9)), b"")).unwrap();
        assert_eq!(alarms.list(0), vec![no_space(9)]);
        assert!(alarms.no_space());
        let bad = Bytes::from_static(b"\xff");
        assert!(alarms.recover(row(bad, b"")).is_err());
        let bad_value = row(row_key(&no_space(9)), b"\xff");
        assert!(alarms.recover(bad_value).is_err());
    }

    #[test]
    fn a_quarantine_is_listed_and_refuses_nothing_until_an_operator_says_so() {
        let corrupt = AlarmMember {
            member_id: 5,
            alarm: AlarmType::Corrupt as i32,
        };
        let alarms = Alarms::default();
        let value = alarms.quarantine(5, 77).unwrap();
        let recovered = Alarms::default();
        let rows = [(row_key(&corrupt), value)];
        recovered.recover(rows.into_iter()).unwrap();
        for alarms in [alarms, recovered] {
            assert_eq!(alarms.list(0), vec![corrupt]);
            assert!(alarms.is_corrupt(5) && !alarms.is_corrupt(6));
            assert!(!alarms.corrupt());
            assert_eq!(alarms.of_cluster(), Vec::<i32>::new());
            alarms.activate(&corrupt);
            assert!(alarms.corrupt());
            assert_eq!(alarms.quarantine(5, 78), None);
            assert!(alarms.corrupt(), "the operator's word stays");
            assert_eq!(alarms.of_cluster(), vec![AlarmType::Corrupt as i32]);
            assert!(alarms.deactivate(&corrupt) && !alarms.is_corrupt(5));
        }
    }

    #[test]
    fn descriptions_omit_zero_fields() {
        assert_eq!(describe(&no_space(5)), "memberID:5 alarm:NOSPACE");
        let anywhere = AlarmMember {
            member_id: 0,
            alarm: AlarmType::Corrupt as i32,
        };
        assert_eq!(describe(&anywhere), "alarm:CORRUPT");
    }
}
