// Makes a photo smaller, outside the page's thread.

// 17 megapixels: far more than the reader looks at, and about 5 MB.
const LONGEST_SIDE_PX = 4096;
const QUALITY = 0.9;

addEventListener("message", async ({ data }) => {
  try {
    postMessage({ photo: await smaller(data) });
  } catch (error) {
    postMessage({ error: String(error) });
  }
});

/** @param {Blob} photo */
async function smaller(photo) {
  // Turned as the photo says that it is to be shown.
  const bitmap = await createImageBitmap(photo, { imageOrientation: "from-image" });
  const scale = Math.min(1, LONGEST_SIDE_PX / Math.max(bitmap.width, bitmap.height));
  const canvas = new OffscreenCanvas(
    Math.max(1, Math.round(bitmap.width * scale)),
    Math.max(1, Math.round(bitmap.height * scale)),
  );
  const context = canvas.getContext("2d");
  if (!context) throw new Error("no canvas");
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return canvas.convertToBlob({ type: "image/jpeg", quality: QUALITY });
}
