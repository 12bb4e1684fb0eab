// Names of labels as they are shown: as the model has them, or those of emotions in a language. Files that are saved
// and requests have the model's own, whatever is chosen.

const NAMES = { // by the names that corpora give them: German, English
  anger: ["Ärger", "anger"], disgust: ["Ekel", "disgust"], fear: ["Angst", "fear"], joy: ["Freude", "joy"],
  sadness: ["Trauer", "sadness"], surprise: ["Überraschung", "surprise"], neutral: ["neutral", "neutral"],
  calm: ["ruhig", "calm"], excited: ["aufgeregt", "excited"], frustrated: ["frustriert", "frustrated"],
  boredom: ["Langeweile", "boredom"], contempt: ["Verachtung", "contempt"], love: ["Liebe", "love"],
  positive: ["positiv", "positive"], negative: ["negativ", "negative"],
};
const SAME = { // other forms of these
  angry: "anger", ang: "anger", disgusted: "disgust", fearful: "fear", happy: "joy", happiness: "joy", hap: "joy", sad: "sadness",
  surprised: "surprise", neu: "neutral", exc: "excited", excitement: "excited", fru: "frustrated", frustration: "frustrated",
  bored: "boredom",
};
const LANGUAGES = ["de", "en"];

let language = null;

// `code` is one of the languages, or "" for the names of the model.
export function setLanguage(code) {
  language = LANGUAGES.includes(code) ? code : null;
}

export function shown(label) {
  const name = String(label).toLowerCase(), known = Object.hasOwn(SAME, name) ? SAME[name] : name;
  if (language === null || !Object.hasOwn(NAMES, known)) return String(label).replaceAll("_", " ");
  return NAMES[known][LANGUAGES.indexOf(language)];
}

// Shown names by label, for a view that is given its names.
export const shownNames = (labels) => Object.fromEntries(labels.map((label) => [label, shown(label)]));
