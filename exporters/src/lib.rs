//! Exporters: collectors that fill a registry, one file each.
//!
//! Here so far: [`node`], the machine itself, with node_exporter's metrics. The container and Kubernetes-state
//! exporters will stand beside it.

pub mod node;
