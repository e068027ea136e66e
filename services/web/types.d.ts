// What the services answer, as far as the pages read it, and what the parts of the pages hand to each other.

/** Anything that `h` takes as an attribute: a listener, a style, or a value. */
type Attribute = string | number | boolean | null | undefined | ((event: any) => unknown) | Record<string, string>;
type Attributes = Record<string, Attribute>;
type Child = Node | string | number | boolean | null | undefined;
type Children = Array<Child | Child[]>;

/** The values that a text is filled with. */
type Values = Record<string, string | number>;

interface Session {
  sub: string;
  role: string;
  branches: string[];
  /** What people call them. */
  name: string;
}

/** What `Api` calls a refusal, and what is kept of one. */
interface Refusal {
  status: number;
  code: string;
  detail: string;
  retryAfterS?: number | null;
}

interface Garment {
  label: string;
  count?: number;
}

interface Guess extends Garment {
  confidence: number;
}

interface Reading {
  labels: Guess[];
  needs_review: boolean;
  multiple: boolean;
}

interface Task {
  id: string;
  version: number;
  branch_id: string;
  helper_id: string;
  note: string | null;
  status: "submitted" | "read" | "unreadable" | "confirmed" | "withdrawn";
  submitted_at: string;
  photo: { bytes: number };
  reading: Reading | null;
  unreadable_reason: string | null;
  confirmation: { labels: Garment[]; corrected: boolean; undo_until?: string | null } | null;
  load_id: string | null;
}

/** What was washed, by the days of the services' time zone. */
interface WashedDays {
  time_zone: string;
  first_day: string;
  last_day: string;
  days: Array<{ day: string; loads: number; corrected: number }>;
  items: Array<{ day: string; label: string; pieces: number; loads: number; corrected: number }>;
}

/** A tag of the catalogue; one that a branch made up has neither words nor group. */
interface TagWords {
  tag: string;
  group: string | null;
  ko: string | null;
  en: string | null;
}

/** A branch that suits a customer: which tag of hers meets what of the branch. */
interface BranchMatch {
  branch_id: string;
  score: number;
  shares: Array<{ tag: string; yours: number; theirs: number }>;
  preference: { title: string; text: string; tags: Record<string, number> };
}

/** What a branch said it is like; `matched` is how many customers it suited then. */
interface BranchPreference {
  id: string;
  tags: Record<string, number>;
  title: string;
  text: string;
  matched: number | null;
  created_at: string;
}

interface Consent {
  given: boolean;
  changed_at: string | null;
  text: { version: string; title: string; body: string };
  per_week: number;
  quiet_from: string;
  quiet_until: string;
}

interface AppNotification {
  id: string;
  kind: string;
  title: string;
  body: string;
  branch_id: string;
  created_at: string;
  state: string;
  data?: Record<string, string>;
}

/** One of the caller's own devices. */
interface OwnDevice {
  id: string;
  name: string;
  platform: "android" | "ios" | "web";
  kind: "fcm" | "web_push";
  reached_at: string | null;
}

interface Fault {
  id: string;
  cause: string;
  fault_code: string | null;
  metric: string | null;
  detected_at: string;
  told_at: string | null;
  cleared_at: string | null;
  handling: "open" | "acknowledged" | "escalated" | "closed";
  acknowledged_at: string | null;
  acknowledged_by: string | null;
  escalation: number;
}

interface HandledFault extends Fault {
  equipment_id: string;
  branch_id: string;
  kind: string | null;
}

interface Machine {
  id: string;
  branch_id: string;
  kind: string;
  state: "ok" | "faulty";
  last_sample: { received_at: string } | null;
  open_faults: Fault[];
  /** It left the branch. */
  gone?: boolean;
}

interface Check {
  name: string;
  passed: boolean;
  text: string;
}

interface Model {
  version: string;
  champion: boolean;
  labels: string[];
  source: string;
  created_at: string;
  lineage: Record<string, any>;
  metrics: {
    top1?: number;
    photos?: number;
    calibration_error?: number;
    confusion?: number[][];
    champion?: { top1?: number };
  };
  verdict: { good: boolean; checks: Check[] } | null;
}

interface TrainingRun {
  id: string;
  kind: string;
  status: string;
  progress: number;
  error: string | null;
  decision: { promoted: boolean; reasons: string[] } | null;
  requested_by: string;
  created_at: string;
}

interface LogLine {
  created_at: string;
  text: string;
}

interface Replica {
  replica: string;
  version: string | null;
  in_step: boolean;
  seen_at: string;
  refused: { version: string; why: string } | null;
  shadow: { version: string; agreed: number; photos: number } | null;
}

interface Promotion {
  version: string;
  kind: string;
  promoted_by: string;
  promoted_at: string;
  override_reason: string | null;
}

interface Labeller {
  confirmed_by: string;
  labels: number;
  corrected: number;
  careless: boolean;
  new_labels: number | null;
  corrections: number | null;
  contradicted: number;
  contrary: number;
}

interface BrokerQueue {
  name: string;
  ready: number;
  unacked: number;
  waiting_for_retry: number;
  dead_letters: number;
  consumers: number;
  publish_rate: number;
  deliver_rate: number;
  oldest_age_s: number | null;
  oldest_age_bound: string;
  warnings: string[];
}

interface DeadLetter {
  id: string;
  queue: string;
  fingerprint: string;
  reason: string;
  error_class: string | null;
  redriven: number;
}

interface DeadLetterGroup {
  queue: string;
  reason: string;
  error_class: string | null;
  count: number;
  redriven: number;
  oldest: string | null;
}

interface AuditRecord {
  at: string;
  by: string;
  action: string;
  id?: string;
  object?: string;
  queue?: string;
  reason?: string;
}

interface Branch {
  id: string;
  name_ko: string;
  name_en: string;
}

interface WorkingPerson {
  sub: string;
  name: string;
  email: string;
  role: string;
  branches: string[];
  joined_at: string;
}

interface Invitation {
  id: string;
  role: string;
  branches: string[];
  note: string;
  expires_at: string;
}

interface MachineCredential {
  id: string;
  equipment_id: string;
  branch_id: string;
  client_id: string;
  created_at: string;
  rotated_at: string | null;
}

/** Why a photo is only in memory. */
type Unkept = "no-room" | "no-store";

/** A photo as it is kept on the phone. */
interface KeptPhoto {
  key: string;
  sub: string;
  branchId: string;
  note: string;
  /** What the photos of one load have in common. */
  loadId: string;
  /** What it was taken instead of; what an earlier version kept has none. */
  replaces?: string[];
  blob: Blob;
  /** It is a smaller copy. */
  shrunk?: boolean;
  name: string;
  addedAt: number;
  problem: Refusal | null;
}

/** A photo that waits, on its way. */
interface UploadItem extends KeptPhoto {
  state: "waiting" | "sending" | "refused";
  progress: number;
  unkept: Unkept | null;
  /** The line is so bad that it goes piece by piece. */
  inPieces?: boolean;
}

/** What a stream tells, also to other tabs. */
type StreamState = "live" | "away" | "crowded";
type StreamMessage =
  | { kind: "hello" | "alive" | "fetch" }
  | { kind: "state"; state: StreamState }
  | { kind: "change"; object: any };

interface StreamEvent {
  type: string;
  data: string;
  id: string;
}

/** A page as `main` shows it. */
interface ShownPage {
  element: HTMLElement;
  title: string;
  close(): void;
}

interface Window {
  trustedTypes?: {
    createPolicy(name: string, rules: { createScriptURL(url: string): string }): { createScriptURL(url: string): string };
  };
}

/** Who is signed in, and what of theirs a page needs. */
interface SignedIn {
  session: Session;
  api: import("./src/web/static/js/api.js").Api;
  photos: import("./src/web/static/js/photos.js").Photos;
  /** A helper's. */
  queue: import("./src/web/static/js/upload-queue.js").UploadQueue | null;
}
