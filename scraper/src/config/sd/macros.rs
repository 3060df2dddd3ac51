//! How the structs of the mechanisms are written.

/// Declares the configuration of a mechanism: fields with a default of their own, and fields that are empty when nothing
/// is written; with `http` at the end, those of `http_config` too.
///
/// The struct needs a method `check_own`, which says what makes no sense.
macro_rules! sd_config {
    (
        $(#[$meta:meta])*
        pub struct $name:ident: $key:literal, $go_type:literal;
        defaults { $($(#[$default_meta:meta])* $default:ident: $default_ty:ty = $value:expr,)* }
        fields { $($(#[$field_meta:meta])* $field:ident: $ty:ty,)* }
        http
    ) => {
        net::with_http_config! {
            $(#[$meta])*
            #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
            #[serde(default, deny_unknown_fields)]
            pub struct $name {
                $($(#[$default_meta])* #[serde(deserialize_with = "model::de::or_default")]
                pub $default: $default_ty,)*
                $($(#[$field_meta])*
                #[serde(
                    deserialize_with = "model::de::or_default",
                    skip_serializing_if = "crate::config::sd::is_zero"
                )]
                pub $field: $ty,)*
            }
        }

        net::default_with_http_config! {
            $name {
                $($default: $value,)*
                $($field: Default::default(),)*
            }
        }

        impl crate::config::sd::SdConfig for $name {
            const KEY: &'static str = $key;
            const GO_TYPE: &'static str = $go_type;
            const FIELDS: &'static [&'static str] = &[$(stringify!($default),)* $(stringify!($field),)*];

            fn http(&self) -> Option<net::http_config::HttpConfig> {
                Some(self.http_config())
            }

            fn check(&self) -> Result<(), crate::config::ConfigError> {
                self.check_own()?;
                let outcome = self.http_config().validate();
                outcome.map_err(|error| crate::config::ConfigError(error.to_string()))
            }
        }
    };
    (
        $(#[$meta:meta])*
        pub struct $name:ident: $key:literal, $go_type:literal;
        defaults { $($(#[$default_meta:meta])* $default:ident: $default_ty:ty = $value:expr,)* }
        fields { $($(#[$field_meta:meta])* $field:ident: $ty:ty,)* }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $($(#[$default_meta])* #[serde(deserialize_with = "model::de::or_default")]
            pub $default: $default_ty,)*
            $($(#[$field_meta])*
            #[serde(
                deserialize_with = "model::de::or_default",
                skip_serializing_if = "crate::config::sd::is_zero"
            )]
            pub $field: $ty,)*
        }

        impl Default for $name {
            fn default() -> Self {
                $name {
                    $($default: $value,)*
                    $($field: Default::default(),)*
                }
            }
        }

        impl crate::config::sd::SdConfig for $name {
            const KEY: &'static str = $key;
            const GO_TYPE: &'static str = $go_type;
            const FIELDS: &'static [&'static str] = &[$(stringify!($default),)* $(stringify!($field),)*];

            fn http(&self) -> Option<net::http_config::HttpConfig> {
                None
            }

            fn check(&self) -> Result<(), crate::config::ConfigError> {
                self.check_own()
            }
        }
    };
}

/// Declares an enum whose variants are words in configurations; the first is the default. The text says what another word
/// is, with one `{}` or `{:?}` for it.
macro_rules! words {
    ($(#[$meta:meta])* pub enum $name:ident: $unknown:literal { $first:ident = $first_word:literal, $($variant:ident = $word:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub enum $name {
            #[doc = concat!("`", $first_word, "`")]
            #[default]
            $first,
            $(#[doc = concat!("`", $word, "`")] $variant,)*
        }

        impl $name {
            /// Returns the word in configurations.
            pub fn name(self) -> &'static str {
                match self {
                    $name::$first => $first_word,
                    $($name::$variant => $word,)*
                }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = String::deserialize(deserializer)?;
                match word.as_str() {
                    $first_word => Ok($name::$first),
                    $($word => Ok($name::$variant),)*
                    other => Err(serde::de::Error::custom(format_args!($unknown, other))),
                }
            }
        }
    };
}

/// Hands all mechanisms, `key: Struct,` each, to a macro, after `args`.
#[macro_export]
macro_rules! for_each_mechanism {
    ($then:ident { $($args:tt)* }) => {
        $then! {
            $($args)*
            aws_sd_configs: AwsSdConfig,
            azure_sd_configs: AzureSdConfig,
            consul_sd_configs: ConsulSdConfig,
            digitalocean_sd_configs: DigitalOceanSdConfig,
            dns_sd_configs: DnsSdConfig,
            docker_sd_configs: DockerSdConfig,
            dockerswarm_sd_configs: DockerSwarmSdConfig,
            ec2_sd_configs: Ec2SdConfig,
            eureka_sd_configs: EurekaSdConfig,
            file_sd_configs: FileSdConfig,
            gce_sd_configs: GceSdConfig,
            hetzner_sd_configs: HetznerSdConfig,
            http_sd_configs: HttpSdConfig,
            ionos_sd_configs: IonosSdConfig,
            kubernetes_sd_configs: KubernetesSdConfig,
            kuma_sd_configs: KumaSdConfig,
            lightsail_sd_configs: LightsailSdConfig,
            linode_sd_configs: LinodeSdConfig,
            marathon_sd_configs: MarathonSdConfig,
            nerve_sd_configs: NerveSdConfig,
            nomad_sd_configs: NomadSdConfig,
            oci_sd_configs: OciSdConfig,
            openstack_sd_configs: OpenStackSdConfig,
            outscale_sd_configs: OutscaleSdConfig,
            ovhcloud_sd_configs: OvhCloudSdConfig,
            puppetdb_sd_configs: PuppetDbSdConfig,
            scaleway_sd_configs: ScalewaySdConfig,
            serverset_sd_configs: ServersetSdConfig,
            stackit_sd_configs: StackitSdConfig,
            triton_sd_configs: TritonSdConfig,
            uyuni_sd_configs: UyuniSdConfig,
            vultr_sd_configs: VultrSdConfig,
        }
    };
}

/// Writes a struct with its own fields, a list for each mechanism of service discovery, and those of `http_config`; for
/// [`for_each_mechanism`]. `config::sd` must be in scope as `sd`, and one of the own fields is
/// `static_configs`, a list of [`StaticConfig`](crate::config::StaticConfig).
#[macro_export]
macro_rules! with_discoveries {
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $($own:tt)* } $($key:ident: $sd:ident,)*) => {
        net::with_http_config! {
            $(#[$meta])*
            $vis struct $name {
                $($own)*
                $(
                    #[doc = concat!("Where targets come from, see [`sd::", stringify!($sd), "`].")]
                    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "sd::list")]
                    pub $key: Vec<sd::$sd>,
                )*
            }
        }

        impl $name {
            /// Returns everything that says where targets come from.
            $vis fn sources(&self) -> sd::Sources {
                sd::Sources {
                    static_configs: self.static_configs.clone(),
                    $($key: self.$key.clone(),)*
                }
            }
        }
    };
}
