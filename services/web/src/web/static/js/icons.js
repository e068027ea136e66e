// The icons: strokes on a 24 px grid, in the manner of care symbols.

import { svg } from "./dom.js";

/** @type {Record<string, string[]>} */
const PATHS = {
  tub: ["M3 6l2.200 12.500h13.600L21 6", "M3.600 9.500c1.700-2 3.600-2 5.600 0s3.900 2 5.600 0 3.600-2 5.600 0"],
  camera: [
    "M4 8.500h3.200L8.800 6h6.400l1.600 2.500H20V19H4z",
    "M12 16.600a3.400 3.400 0 1 0 0-6.800 3.400 3.400 0 0 0 0 6.800z",
  ],
  album: ["M4 5h16v14H4z", "M4 15.500l4.500-4.500 4 4 3-3 4.500 4.500", "M15.500 9.200v.01"],
  check: ["M5 12.500l4.500 4.500L19 7.500"],
  pencil: ["M5 19l1-4.200L16 4.800l3.200 3.200L9.200 18z", "M13.800 7l3.200 3.200"],
  phone: ["M7.500 3h9v18h-9z", "M12 18.200v.01"],
  bell: ["M6 16.500V11a6 6 0 0 1 12 0v5.500l1.500 1.500h-15z", "M10 20.500h4"],
  alert: ["M12 4l9 16H3z", "M12 10v4.500", "M12 17.300v.01"],
  cloud: ["M7 18.500a4 4 0 0 1-.5-8 5.500 5.500 0 0 1 10.700 1.200A3.500 3.500 0 0 1 17 18.500z", "M4 4l16 16"],
  clock: ["M12 20a8 8 0 1 0 0-16 8 8 0 0 0 0 16z", "M12 7.500V12l3 2"],
  leave: ["M10 4H5v16h5", "M14 8l4 4-4 4", "M18 12H9.500"],
  retry: ["M19 12a7 7 0 1 1-2.200-5.100", "M19.500 4v4h-4"],
  bin: ["M5 7h14", "M9.500 7V4.500h5V7", "M7 7l.8 12.500h8.400L17 7"],
  machine: ["M5 3.500h14v17H5z", "M5 7.500h14", "M12 17.800a4 4 0 1 0 0-8 4 4 0 0 0 0 8z", "M8 5.500v.01"],
  eye: [
    "M2.500 12S6 6 12 6s9.500 6 9.500 6-3.500 6-9.500 6-9.500-6-9.500-6z",
    "M12 14.500a2.500 2.500 0 1 0 0-5 2.500 2.500 0 0 0 0 5z",
  ],
  close: ["M6 6l12 12", "M18 6L6 18"],
  minus: ["M6 12h12"],
  plus: ["M6 12h12", "M12 6v12"],
};

/**
 * Make an icon; it is decoration, the text beside it carries the meaning.
 *
 * @param {string} name
 */
export function icon(name) {
  return svg(
    "svg",
    { class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true", focusable: "false" },
    PATHS[name].map((d) => svg("path", { d })),
  );
}
