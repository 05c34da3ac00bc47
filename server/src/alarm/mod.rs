//! Alarms that are active somewhere in the cluster.
//!
//! Replicated: every change comes through apply, so all members agree. Rows
//! are keyed by the encoded `AlarmMember` and have no value, as etcd stores
//! them.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use parking_lot::RwLock;
use prost::Message;
use quoin_proto::etcdserverpb::{AlarmMember, AlarmType};

/// The set of active alarms. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Alarms {
    /// Pairs of member id and alarm type. Held for a look-up or a change.
    active: Arc<RwLock<BTreeSet<(u64, i32)>>>,
}

impl Alarms {
    /// Reads stored rows back; a row that is no `AlarmMember` is reported.
    ///
    /// # Errors
    /// A row cannot be decoded.
    pub(crate) fn recover(
        &self,
        rows: impl Iterator<Item = Bytes>,
    ) -> Result<(), prost::DecodeError> {
        let mut active = BTreeSet::new();
        for row in rows {
            let alarm = AlarmMember::decode(row)?;
            active.insert((alarm.member_id, alarm.alarm));
        }
        *self.active.write() = active;
        Ok(())
    }

    /// Raises an alarm; raising it again changes nothing.
    pub(crate) fn activate(&self, alarm: &AlarmMember) {
        self.active.write().insert((alarm.member_id, alarm.alarm));
    }

    /// Clears exactly this alarm; false if it was not active.
    pub(crate) fn deactivate(&self, alarm: &AlarmMember) -> bool {
        self.active.write().remove(&(alarm.member_id, alarm.alarm))
    }

    /// Active alarms of one type, or all for type NONE.
    pub(crate) fn list(&self, alarm_type: i32) -> Vec<AlarmMember> {
        let wanted = |alarm: i32| alarm_type == AlarmType::None as i32 || alarm == alarm_type;
        let active = self.active.read();
        let matching = active.iter().filter(|(_, alarm)| wanted(*alarm));
        matching
            .map(|&(member_id, alarm)| AlarmMember { member_id, alarm })
            .collect()
    }

    /// Some member has run out of space.
    pub(crate) fn no_space(&self) -> bool {
        self.is_active(AlarmType::Nospace)
    }

    /// Some member's data differs.
    pub(crate) fn corrupt(&self) -> bool {
        self.is_active(AlarmType::Corrupt)
    }

    fn is_active(&self, alarm_type: AlarmType) -> bool {
        self.active
            .read()
            .iter()
            .any(|&(_, alarm)| alarm == alarm_type as i32)
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
        alarms.recover([row_key(&no_space(9))].into_iter()).unwrap();
        assert_eq!(alarms.list(0), vec![no_space(9)]);
        assert!(
            alarms
                .recover([Bytes::from_static(b"\xff")].into_iter())
                .is_err()
        );
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
