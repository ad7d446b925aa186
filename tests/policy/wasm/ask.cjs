// Answers questions on standard input, one JSON array of them, with the official build of Cedar.
const cedar = require("@cedar-policy/cedar-wasm/nodejs");
let text = "";
process.stdin.on("data", (chunk) => (text += chunk));
process.stdin.on("end", () => {
  const answers = JSON.parse(text).map((question) => {
    const answer = cedar.isAuthorized(question);
    if (answer.type !== "success") return { failed: JSON.stringify(answer.errors) };
    const { decision, diagnostics } = answer.response;
    return { decision, reason: diagnostics.reason.sort(), errors: diagnostics.errors.length };
  });
  process.stdout.write(JSON.stringify(answers));
});
