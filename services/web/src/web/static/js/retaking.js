// A photo that is taken again, or one more of a load.

import { h } from "./dom.js";
import { photoInput } from "./photo-picker.js";
import { newKey } from "./upload-queue.js";

/** @typedef {Task | UploadItem} Taken */

export class Retaking {
  /** @type {Taken | null} */
  #of = null;
  #again = photoInput({ capture: "environment", "data-for": "retake" }, (files) => this.#retake(files));
  #more = photoInput({ multiple: true, "data-for": "load" }, (files) => this.#add(files));
  // Not in the rows, which are redrawn while the camera is open.
  element = h("div", { hidden: true }, this.#again, this.#more);

  /**
   * @param {import("./upload-queue.js").UploadQueue} queue
   * @param {import("./intake.js").Intake} intake
   */
  constructor(queue, intake) {
    this.queue = queue;
    this.intake = intake;
  }

  /**
   * Ask for a photo to be taken instead of one.
   *
   * @param {Taken} of
   */
  again(of) {
    this.#of = of;
    this.#again.click();
  }

  /**
   * Ask for more photos of the load that one belongs to.
   *
   * @param {Taken} of
   */
  more(of) {
    this.#of = of;
    this.#more.click();
  }

  /** @param {File[]} files */
  #retake(files) {
    const of = this.#of;
    if (!of) return;
    const how = "blob" in of ? this.#ofItem(of) : this.#ofTask(of, [`task:${of.id}`]);
    this.intake.add(files.slice(0, 1), how);
  }

  /** @param {File[]} files */
  #add(files) {
    const of = this.#of;
    if (!of) return;
    const { branchId, note, loadId } = "blob" in of ? of : whatOf(of);
    this.intake.add(files, (file) => this.queue.add(file, { branchId, note, loadId }));
  }

  /** @param {UploadItem} item */
  #ofItem(item) {
    return (/** @type {File} */ file) => this.queue.retake(item, file);
  }

  /**
   * @param {Task} task
   * @param {string[]} replaces
   */
  #ofTask(task, replaces) {
    return (/** @type {File} */ file) => this.queue.add(file, { ...whatOf(task), replaces });
  }
}

/** @param {Task} task */
function whatOf({ branch_id, note, load_id }) {
  return { branchId: branch_id, note: note ?? "", loadId: load_id ?? newKey() };
}
