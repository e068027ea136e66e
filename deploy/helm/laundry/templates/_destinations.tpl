{{/* Where pods may connect to: what networkPolicy.egress says, and the ports of addresses that stand in the values. */}}

{{/* The rule to where names are looked up. */}}
{{- define "laundry.egressToNames" -}}
{{- with .Values.networkPolicy.dns -}}
- ports:
    {{- range .ports }}
    - {port: {{ . }}, protocol: UDP}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
  {{- with .to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
{{- end -}}

{{/* What the broker's nodes say to each other, with TLS at the same ports. */}}
{{- define "laundry.betweenNodes" -}}
- {port: 4369, protocol: TCP}
- {port: 25672, protocol: TCP}
# The copies of streams, a port for each.
- {port: 6000, endPort: 6500, protocol: TCP}
# rabbitmqctl of one node asks another.
- {port: 35672, endPort: 35682, protocol: TCP}
{{- end -}}

{{/* One egress rule from {ports, to}. */}}
{{- define "laundry.egress" -}}
- ports:
    {{- range .ports }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
  {{- with .to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* The rule to one of networkPolicy.egress, of {root, name}. */}}
{{- define "laundry.egressTo" -}}
{{- $place := index .root.Values.networkPolicy.egress .name -}}
{{- $ports := list -}}
{{- range $port := concat $place.ports (include "laundry.portsByValue" . | splitList " " | compact) -}}
{{- $ports = append $ports (int $port) -}}
{{- end -}}
{{- include "laundry.egress" (dict "ports" (uniq $ports) "to" $place.to) -}}
{{- end -}}

{{/* The ports that values name for it, a space before each; what an address in a Secret says nobody knows here. */}}
{{- define "laundry.portsByValue" -}}
{{- $values := .root.Values -}}
{{- $urls := list -}}
{{- if and (eq .name "broker") $values.broker.host }} {{ include "laundry.brokerPort" .root }}
{{- else if and (eq .name "database") $values.database.host }} {{ int $values.database.port }}
{{- else if eq .name "objectStore" }}{{ $urls = list $values.objectStore.endpointUrl }}
{{- else if eq .name "tracing" }}{{ $urls = list $values.tracing.endpoint }}
{{- else if eq .name "identity" -}}
{{- if not $values.identity.enabled }}{{ $urls = list $values.identity.issuer $values.identity.jwksUrl $values.identity.denyListUrl }}{{ end -}}
{{- if $values.signIn.customers.clientId }}{{ $urls = append $urls $values.signIn.customers.issuer }}{{ end -}}
{{- range $values.identity.trustedIssuers }}{{ $urls = concat $urls (list .jwksUrl .denyListUrl) }}{{ end -}}
{{- end -}}
{{- range $url := compact $urls }} {{ include "laundry.portOf" $url }}{{ end -}}
{{- end -}}

{{/* The port of an address such as http://minio:9000; none of an issuer that is no address. */}}
{{- define "laundry.portOf" -}}
{{- if regexMatch "^https?://" . -}}
{{ regexFind ":[0-9]+$" (urlParse .).host | trimPrefix ":" | default (ternary "443" "80" (hasPrefix "https:" .)) }}
{{- end -}}
{{- end -}}
