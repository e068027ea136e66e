{{/* Addresses of the servers: from the Secrets, or put together from values and a password. */}}

{{/* Whether the cluster's own broker, or one by value, speaks TLS: empty where not. */}}
{{- define "laundry.brokerTls" -}}
{{- if .Values.rabbitmq.enabled -}}
{{- if .Values.rabbitmq.tls.enabled }}yes{{ end -}}
{{- else -}}
{{- if .Values.broker.tls }}yes{{ end -}}
{{- end -}}
{{- end -}}

{{- define "laundry.brokerPort" -}}
{{ .Values.broker.port | default (ternary 5671 5672 (eq "yes" (include "laundry.brokerTls" .))) | int }}
{{- end -}}

{{- define "laundry.managementHost" -}}
{{- if .Values.rabbitmq.enabled -}}
{{ printf "%s-rabbitmq" .Release.Name }}
{{- else -}}
{{ required "set topology.managementHost, or broker.host, to your broker's management API (the topology and the operations service ask it)" (.Values.topology.managementHost | default .Values.broker.host) }}
{{- end -}}
{{- end -}}

{{- define "laundry.managementPort" -}}
{{ .Values.topology.managementPort | default (ternary 15671 15672 (eq "https" (include "laundry.managementScheme" .))) | int }}
{{- end -}}

{{- define "laundry.managementScheme" -}}
{{ .Values.topology.managementScheme | default (ternary "https" "http" (eq "yes" (include "laundry.brokerTls" .))) }}
{{- end -}}

{{- define "laundry.managementUrl" -}}
{{ printf "%s://%s:%s" (include "laundry.managementScheme" .) (include "laundry.managementHost" .) (include "laundry.managementPort" .) }}
{{- end -}}

{{/* A service's address at the broker, of {root, service}. */}}
{{- define "laundry.broker" -}}
{{- $broker := .root.Values.broker -}}
{{- if $broker.host -}}
{{- $tls := eq "yes" (include "laundry.brokerTls" .root) -}}
{{- include "laundry.ofService" (merge (dict "name" "BROKER_PASSWORD" "key" "amqp-password") .) }}
- name: LAUNDRY_AMQP_URL
  value: {{ printf "%s://%s:$(BROKER_PASSWORD)@%s:%d/laundry" (ternary "amqps" "amqp" $tls) .service $broker.host (include "laundry.brokerPort" .root | int) }}
{{- else -}}
{{- include "laundry.ofService" (merge (dict "name" "LAUNDRY_AMQP_URL" "key" "amqp-url") .) }}
{{- end -}}
{{- end -}}

{{/* A service's address at its database, of {root, service}; a pod that knows several adds a suffix to each variable. */}}
{{- define "laundry.database" -}}
{{- $database := .root.Values.database -}}
{{- $suffix := .suffix | default "" -}}
{{- if $database.host -}}
{{- include "laundry.ofService" (merge (dict "name" (printf "DATABASE_PASSWORD%s" $suffix) "key" "database-password") .) }}
- name: LAUNDRY_DATABASE_URL{{ $suffix }}
  value: {{ printf "postgresql://%s:$(DATABASE_PASSWORD%s)@%s:%d/%s" .service $suffix $database.host (int $database.port) .service }}
{{- else -}}
{{- include "laundry.ofService" (merge (dict "name" (printf "LAUNDRY_DATABASE_URL%s" $suffix) "key" "database-url") .) }}
{{- end -}}
{{- end -}}

{{/* The same of the login that owns the tables. */}}
{{- define "laundry.databaseOwner" -}}
{{- $database := .root.Values.database -}}
{{- $suffix := .suffix | default "" -}}
{{- if $database.host -}}
{{- include "laundry.ofService" (merge (dict "name" (printf "DATABASE_OWNER_PASSWORD%s" $suffix) "key" "database-owner-password") .) }}
- name: LAUNDRY_DATABASE_OWNER_URL{{ $suffix }}
  value: {{ printf "postgresql://%s_owner:$(DATABASE_OWNER_PASSWORD%s)@%s:%d/%s" .service $suffix $database.host (int $database.port) .service }}
{{- else -}}
{{- include "laundry.ofService" (merge (dict "name" (printf "LAUNDRY_DATABASE_OWNER_URL%s" $suffix) "key" "database-owner-url" "optional" true) .) }}
{{- end -}}
{{- end -}}

{{/* Whether browsers come over HTTPS. */}}
{{- define "laundry.publicHttps" -}}
{{ or (and .Values.gateway.enabled .Values.gateway.https) (ne "" (include "laundry.pagesSecret" .)) }}
{{- end -}}

{{- define "laundry.pagesSecret" -}}
{{ .Values.ingress.tlsSecret | default (ternary "" (printf "%s-web-tls" .Release.Name) (empty .Values.ingress.issuer.name)) }}
{{- end -}}

{{- define "laundry.identitySecret" -}}
{{ .Values.ingress.identityTlsSecret | default (ternary "" (printf "%s-identity-tls" .Release.Name) (empty .Values.ingress.issuer.name)) }}
{{- end -}}
