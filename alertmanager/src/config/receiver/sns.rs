//! `sns_configs`: messages to topics of Amazon SNS.

use std::collections::BTreeMap;

use net::http_config::{HttpConfig, Secret};

use super::ReceiverConfig;
use crate::config::section::ensure;

section! {
    /// A topic, a phone number or an endpoint of SNS.
    pub struct SnsConfig {
        /// Whether resolved alerts are told.
        "shown" send_resolved: bool = true,
        /// How to speak HTTP; as in `global`, if not given.
        http_config: Option<HttpConfig>,
        /// The address; a template.
        api_url: String,
        /// How requests are signed.
        "shown" sigv4: SigV4Config,
        /// The topic; a template.
        topic_arn: String,
        /// The phone number; a template.
        phone_number: String,
        /// The endpoint; a template.
        target_arn: String,
        /// The subject; a template.
        subject: String = "{{ template \"sns.default.subject\" . }}".to_owned(),
        /// The text; a template.
        message: String = "{{ template \"sns.default.message\" . }}".to_owned(),
        /// Attributes; templates.
        attributes: BTreeMap<String, String>,
        /// Accepted.
        use_aws_http_client: bool,
    }
}

impl ReceiverConfig for SnsConfig {
    const KIND: &'static str = "sns";

    fn check(&mut self) -> Result<(), String> {
        let targets = [&self.target_arn, &self.topic_arn, &self.phone_number];
        ensure(
            targets.iter().any(|target| !target.is_empty()),
            "must provide either a Target ARN, Topic ARN, or Phone Number for SNS config",
        )?;
        ensure(
            self.sigv4.access_key.is_empty() == self.sigv4.secret_key.is_empty(),
            "must provide a AWS SigV4 Access key and Secret Key if credentials are specified in the SigV4 config",
        )
    }

    fn http_config(&mut self) -> Option<&mut Option<HttpConfig>> {
        Some(&mut self.http_config)
    }
}

section! {
    /// Credentials of AWS; those of the environment, if empty.
    pub struct SigV4Config {
        /// The region.
        region: String,
        /// The id of the key.
        access_key: String,
        /// The key.
        secret_key: Secret,
        /// The profile of the shared configuration.
        profile: String,
        /// The role to take.
        role_arn: String,
        /// The external id for the role.
        external_id: String,
        /// Whether the endpoint of FIPS is used.
        use_fips_sts_endpoint: bool,
    }
}
