/** How near two sounds are. */

/** How much louder a sound is than its difference from another, in dB. */
export function likeness(found, expected) {
  let [signal, noise] = [0, 0];
  expected.forEach((sample, index) => {
    signal += sample ** 2;
    noise += (sample - found[index]) ** 2;
  });
  return noise === 0 ? Infinity : 10 * Math.log10(signal / noise);
}
