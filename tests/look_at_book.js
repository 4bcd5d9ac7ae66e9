// What is wrong with the page that is shown, and which pictures it shows how wide.
(smallest) => {
  const faults = [];
  const article = document.querySelector("article") ?? document.body;
  const page = article.getBoundingClientRect();
  const telephone = innerWidth < 700;

  const called = (element) => {
    const kind = [element.localName, ...element.classList].join(".");
    return `<${kind}> “${element.textContent.trim().replace(/\s+/g, " ").slice(0, 40)}”`;
  };

  // Tell whether an element has no room: "scrolls" in a box of its own, or "sticks out".
  const overflow = (element) => {
    for (let box = element; box !== article && box; box = box.parentElement) {
      if (["auto", "scroll"].includes(getComputedStyle(box).overflowX)) {
        return box.scrollWidth > box.clientWidth + 1 ? "scrolls" : "";
      }
    }
    const { left, right } = element.getBoundingClientRect();
    const end = Math.max(right, left + element.scrollWidth);
    return end > page.right + 1 || left < page.left - 1 ? "sticks out" : "";
  };
  const kinds = { table: "table", pre: "listing", ".math": "formula" };
  for (const [selector, kind] of Object.entries(kinds)) {
    for (const element of article.querySelectorAll(selector)) {
      const how = overflow(element);
      if (how && !(how === "scrolls" && kind !== "table" && telephone)) {
        faults.push(`a ${kind} wider than its page ${how}: ${called(element)}`);
      }
    }
  }
  if (document.documentElement.scrollWidth > innerWidth + 1) {
    const wide = [...document.body.querySelectorAll("*")].find(
      (element) => element.getBoundingClientRect().right > innerWidth + 1 && overflow(element) === "sticks out",
    );
    faults.push(`the page scrolls sideways: ${wide ? called(wide) : ""}`);
  }

  const pictures = [...article.querySelectorAll("img:not(.toggler)")].map((image) => ({
    src: image.src,
    alt: (image.getAttribute("alt") ?? "").trim(),
    width: image.getBoundingClientRect().width,
  }));
  const alts = pictures.map(({ alt }) => alt);
  for (const { src, alt } of pictures) {
    const name = decodeURI(src).split("/").pop();
    if (!alt || alt.endsWith(name)) faults.push(`an image without an alt text: ${name}`);
    else if (alts.filter((other) => other === alt).length > 1) faults.push(`an alt text of several images: ${alt}`);
  }

  // Letters of drawings within the page: of SVG, and of Bokeh, whose plots are on a canvas and its widgets in shadows.
  const inside = (root) =>
    [...root.querySelectorAll("*")].flatMap((e) => [e, ...(e.shadowRoot ? inside(e.shadowRoot) : [])]);
  const small = (size, text) => {
    if (size < smallest - 0.01) faults.push(`letters of ${size.toFixed(1)} px: ${text}`);
  };
  const says = (element) =>
    !["style", "script", "noscript"].includes(element.localName) &&
    element.getClientRects().length > 0 &&
    [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
  for (const figure of article.querySelectorAll("svg:not(mjx-container svg), .interactive")) {
    for (const element of inside(figure).filter(says)) {
      const matrix = element.getScreenCTM?.();
      const scale = matrix ? Math.hypot(matrix.a, matrix.b) : 1;
      small(scale * parseFloat(getComputedStyle(element).fontSize), called(element));
    }
  }
  for (const model of (window.Bokeh?.documents ?? []).flatMap((doc) => [...doc._all_models.values()])) {
    for (const [name, { value, units }] of Object.entries(model.attributes ?? {}).map(([n, v]) => [n, sized(v)])) {
      if (name.endsWith("font_size")) small(value * (units === "em" ? 16 : units === "pt" ? 4 / 3 : 1), `${model.type}.${name}`);
    }
  }
  function sized(value) {
    const [, number, units] = /^([\d.]+)(px|pt|em)$/.exec(value?.value ?? value) ?? [];
    return { value: parseFloat(number), units };
  }

  const parts = {
    picture: pictures.length > 0 || article.querySelector(".interactive"),
    summary: article.querySelector("section#summary"),
    exercises: article.querySelector("section#exercises .admonition"),
  };
  return { faults, pictures, missing: Object.keys(parts).filter((part) => !parts[part]) };
}
