//! Every format on given replies, against the recorded output of etcdctl.
