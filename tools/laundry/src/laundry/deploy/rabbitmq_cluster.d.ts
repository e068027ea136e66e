/* The part of rabbitmq.com/v1beta1 that the chart uses, as the RabbitMQ Cluster Operator 2.x defines it. No package has it. */
import type { IAffinity, IPodSpec, IResourceRequirements, IToleration } from "kubernetes-models/v1";

type Changed<T> = T extends (infer Each)[] ? Changed<Each>[] : T extends object ? { [Name in keyof T]?: Changed<T[Name]> } : T;

export interface IRabbitmqCluster {
  apiVersion: "rabbitmq.com/v1beta1";
  kind: "RabbitmqCluster";
  metadata: { name: string; labels: Record<string, string>; annotations: Record<string, string> };
  spec: {
    replicas: 1 | 3 | 5 | 7;
    image: string;
    imagePullSecrets?: { name: string }[];
    persistence: { storage: string; storageClassName?: string };
    resources: IResourceRequirements;
    affinity: IAffinity;
    tolerations?: IToleration[];
    tls?: { secretName: string; caSecretName?: string; disableNonTLSListeners: boolean };
    rabbitmq: { additionalPlugins: string[]; additionalConfig: string; envConfig?: string };
    override: { statefulSet: { spec: { template: { spec: Changed<IPodSpec> } } } };
  };
}
