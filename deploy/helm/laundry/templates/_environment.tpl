{{/* The environment that a process of a service reads: of {root, service, facts}. */}}
{{- define "laundry.environment" -}}
{{- $root := .root -}}
{{- $service := .service -}}
{{- $facts := .facts -}}
- name: LAUNDRY_SERVICE_NAME
  value: {{ $service }}
- name: LAUNDRY_LOG_LEVEL
  value: {{ $root.Values.logLevel }}
- name: LAUNDRY_TRUSTED_PROXIES
  value: {{ join "," $root.Values.http.trustedProxies | quote }}
- name: LAUNDRY_HTTP_CONNECTIONS
  value: {{ $root.Values.http.connections | quote }}
- name: LAUNDRY_HTTP_CONNECTIONS_PER_ADDRESS
  value: {{ $root.Values.http.connectionsPerAddress | quote }}
{{- with $root.Values.tracing.endpoint }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ . | quote }}
{{- with $root.Values.tracing.headersSecret }}
{{- include "laundry.fromSecret" (dict "name" "OTEL_EXPORTER_OTLP_HEADERS" "secret" . "key" "headers") | nindent 0 }}
{{- end }}
- name: LAUNDRY_TELEMETRY_FOLDER
  value: /run/telemetry
{{- /* 0 keeps none; only null is not a share. */}}
{{- if not (kindIs "invalid" $root.Values.tracing.sampledShare) }}
- name: OTEL_TRACES_SAMPLER
  value: parentbased_traceidratio
- name: OTEL_TRACES_SAMPLER_ARG
  value: {{ $root.Values.tracing.sampledShare | quote }}
{{- end }}
{{- end }}
{{- if $facts.edge }}
- name: LAUNDRY_PUBLIC_HTTPS
  value: {{ include "laundry.publicHttps" $root | quote }}
{{- end }}
{{- if or (not $facts.edge) $facts.sessions }}
{{- if $root.Values.identity.enabled }}
{{- $provider := include "laundry.providerUrl" $root }}
- name: LAUNDRY_JWKS_URL
  value: {{ $provider }}/.well-known/jwks.json
- name: LAUNDRY_JWT_ISSUER
  value: {{ include "laundry.issuer" $root | quote }}
- name: LAUNDRY_DENY_LIST_URL
  value: {{ $provider }}/deny-list.json
{{- else }}
- name: LAUNDRY_JWKS_URL
  value: {{ required "set identity.jwksUrl" $root.Values.identity.jwksUrl | quote }}
- name: LAUNDRY_JWT_ISSUER
  value: {{ required "set identity.issuer" $root.Values.identity.issuer | quote }}
{{- with $root.Values.identity.denyListUrl }}
- name: LAUNDRY_DENY_LIST_URL
  value: {{ . | quote }}
{{- end }}
{{- end }}
- name: LAUNDRY_JWT_AUDIENCE
  value: {{ $root.Values.identity.audience | quote }}
{{- with $root.Values.identity.mapping }}
- name: LAUNDRY_JWT_MAPPING
  value: {{ toJson . | quote }}
{{- end }}
{{- if $root.Values.identity.idTokens }}
- name: LAUNDRY_JWT_ID_TOKENS
  value: "true"
{{- end }}
{{- with $root.Values.identity.trustedIssuers }}
- name: LAUNDRY_TRUSTED_ISSUERS
  value: {{ include "laundry.trustedIssuers" . | quote }}
{{- end }}
{{- with $root.Values.identity.tokenMaxHours }}
- name: LAUNDRY_TOKEN_MAX_HOURS
  value: {{ toJson . | quote }}
{{- end }}
{{- if and (not $facts.edge) $root.Values.rateLimits }}
- name: LAUNDRY_RATE_LIMITS
  value: {{ toJson $root.Values.rateLimits | quote }}
{{- end }}
{{- end }}
{{- if $facts.broker }}
{{- include "laundry.broker" (dict "root" $root "service" $facts.service) | nindent 0 }}
{{- end }}
{{- if $facts.consumes }}
{{- include "laundry.ofService" (dict "root" $root "service" $facts.service "name" "LAUNDRY_LETTER_KEY" "key" "letter-key" "optional" true) | nindent 0 }}
{{- with $root.Values.letters.unsignedUntil }}
- name: LAUNDRY_LETTERS_UNSIGNED_UNTIL
  value: {{ . | quote }}
{{- end }}
{{- end }}
{{- if $facts.database }}
{{- include "laundry.database" (dict "root" $root "service" $facts.service) | nindent 0 }}
{{- end }}
{{- if $facts.objects }}
{{- with $root.Values.objectStore.endpointUrl }}
- name: LAUNDRY_S3_ENDPOINT_URL
  value: {{ . | quote }}
{{- end }}
- name: LAUNDRY_S3_REGION
  value: {{ $root.Values.objectStore.region | quote }}
- name: LAUNDRY_S3_BUCKET
  value: {{ required "set objectStore.bucket" $root.Values.objectStore.bucket | quote }}
{{- include "laundry.ofService" (dict "root" $root "service" $facts.service "name" "LAUNDRY_S3_ACCESS_KEY" "key" "s3-access-key") | nindent 0 }}
{{- include "laundry.ofService" (dict "root" $root "service" $facts.service "name" "LAUNDRY_S3_SECRET_KEY" "key" "s3-secret-key") | nindent 0 }}
{{- end }}
{{- if $facts.models }}
- name: LAUNDRY_MODEL_PUBLIC_KEYS
  value: {{ join "," $root.Values.models.publicKeys | required "set models.publicKeys (laundry models keygen makes a key pair)" | quote }}
{{- end }}
{{- if $facts.provider }}
- name: LAUNDRY_PUBLIC_URL
  value: {{ include "laundry.issuer" $root | quote }}
- name: LAUNDRY_WEB_URLS
  value: {{ printf "https://%s" (required "set ingress.host: the identity service sends people back there" $root.Values.ingress.host) | quote }}
{{- include "laundry.ofService" (dict "root" $root "service" $facts.service "name" "LAUNDRY_OIDC_CLIENT_SECRET" "key" "oidc-client-secret") | nindent 0 }}
{{- include "laundry.ofService" (dict "root" $root "service" $facts.service "name" "LAUNDRY_SECRET_KEYS" "key" "secret-keys") | nindent 0 }}
{{- include "laundry.ofService" (dict "root" $root "service" $facts.service "name" "LAUNDRY_SIGNING_KEYS" "key" "signing-keys") | nindent 0 }}
{{- with $root.Values.identity.firstOperator }}
- name: LAUNDRY_FIRST_OPERATOR
  value: {{ . | quote }}
{{- end }}
{{- include "laundry.ofService" (dict "root" $root "service" $facts.service "name" "LAUNDRY_FIRST_OPERATOR_PASSWORD" "key" "first-operator-password" "optional" true) | nindent 0 }}
{{- include "laundry.ofService" (dict "root" $root "service" $facts.service "name" "LAUNDRY_SMTP_URL" "key" "smtp-url" "optional" true) | nindent 0 }}
{{- with $root.Values.identity.mailFrom }}
- name: LAUNDRY_MAIL_FROM
  value: {{ . | quote }}
{{- end }}
{{- end }}
{{- if $facts.sessions }}
{{- include "laundry.signIn" (dict "root" $root "service" $facts.service) | nindent 0 }}
{{- end }}
{{- if $facts.signing }}
{{- include "laundry.ofService" (dict "root" $root "service" $facts.service "name" "LAUNDRY_MODEL_SIGNING_KEY" "key" "model-signing-key") | nindent 0 }}
{{- end }}
{{- if $facts.mqtt }}
{{- include "laundry.ofService" (dict "root" $root "service" $facts.service "name" "LAUNDRY_MQTT_AUTH_SECRET" "key" "mqtt-auth-secret") | nindent 0 }}
{{- include "laundry.ofService" (dict "root" $root "service" $facts.service "name" "LAUNDRY_MQTT_AUTH_SECRET_BEFORE" "key" "mqtt-auth-secret-before" "optional" true) | nindent 0 }}
{{- end }}
{{- if $facts.management }}
- name: LAUNDRY_MANAGEMENT_URLS
  value: {{ list (include "laundry.managementUrl" $root) | toJson | quote }}
{{- end }}
{{- if $facts.push }}
- name: LAUNDRY_FCM_CREDENTIALS_FILE
  value: /run/fcm/service-account.json
{{- with $root.Values.push.projectId }}
- name: LAUNDRY_FCM_PROJECT_ID
  value: {{ . | quote }}
{{- end }}
{{- with $root.Values.push.webPush.subject }}
- name: LAUNDRY_WEB_PUSH_SUBJECT
  value: {{ . | quote }}
- name: LAUNDRY_WEB_PUSH_SERVICES
  value: {{ join "," $root.Values.push.webPush.services | quote }}
{{- include "laundry.ofService" (dict "root" $root "service" $facts.service "name" "LAUNDRY_WEB_PUSH_PRIVATE_KEY" "key" "web-push-key") | nindent 0 }}
{{- end }}
{{- end }}
{{- range $peer := $facts.peers }}
- name: LAUNDRY_{{ $peer | replace "-" "_" | upper }}_URL
  {{- /* Empty tells operations to wait for no answer of a service that is not there. */}}
  {{- if and (eq $peer "identity") (eq $service "operations") (not $root.Values.identity.enabled) }}
  value: ""
  {{- else }}
  value: http://{{ include "laundry.name" (dict "root" $root "service" $peer) }}:8000
  {{- end }}
{{- end }}
{{- range $name, $value := $facts.environment }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end -}}

{{/* Where the pages sign people in: of {root, service}. Nowhere without a client at the provider, or without an Ingress. */}}
{{- define "laundry.signIn" -}}
{{- $values := .root.Values -}}
{{- $client := $values.signIn.clientId | default (ternary "laundry-web" "" $values.identity.enabled) -}}
{{- $customers := $values.signIn.customers -}}
{{- if and $values.ingress.host (or $client $customers.clientId) -}}
- name: LAUNDRY_PUBLIC_URL
  value: {{ printf "https://%s" $values.ingress.host | quote }}
{{- include "laundry.ofService" (dict "root" .root "service" .service "name" "LAUNDRY_SESSION_KEYS" "key" "session-keys") | nindent 0 }}
{{- if $client }}
- name: LAUNDRY_OIDC_CLIENT_ID
  value: {{ $client | quote }}
{{- include "laundry.ofService" (dict "root" .root "service" .service "name" "LAUNDRY_OIDC_CLIENT_SECRET" "key" "oidc-client-secret") | nindent 0 }}
{{- if $values.identity.enabled }}
- name: LAUNDRY_OIDC_ISSUER
  value: {{ include "laundry.issuer" .root | quote }}
- name: LAUNDRY_OIDC_DISCOVERY_URL
  value: {{ include "laundry.providerUrl" .root }}/.well-known/openid-configuration
{{- else }}
- name: LAUNDRY_OIDC_ISSUER
  value: {{ $values.identity.issuer | quote }}
- name: LAUNDRY_OIDC_BEARER
  value: {{ ternary "id_token" "access_token" $values.identity.idTokens }}
{{- end }}
{{- with $values.signIn.scopes }}
- name: LAUNDRY_OIDC_SCOPES
  value: {{ . | quote }}
{{- end }}
{{- with $values.signIn.parameters }}
- name: LAUNDRY_OIDC_PARAMETERS
  value: {{ toJson . | quote }}
{{- end }}
{{- end }}
{{- if $customers.clientId }}
- name: LAUNDRY_CUSTOMER_OIDC_ISSUER
  value: {{ required "set signIn.customers.issuer" $customers.issuer | quote }}
- name: LAUNDRY_CUSTOMER_OIDC_CLIENT_ID
  value: {{ $customers.clientId | quote }}
{{- include "laundry.ofService" (dict "root" .root "service" .service "name" "LAUNDRY_CUSTOMER_OIDC_CLIENT_SECRET" "key" "customer-oidc-client-secret" "optional" true) | nindent 0 }}
{{- with $customers.scopes }}
- name: LAUNDRY_CUSTOMER_OIDC_SCOPES
  value: {{ . | quote }}
{{- end }}
{{- end }}
{{- end -}}
{{- end -}}
