// The inspector with the means to edit topics, for views of edits. It is the script of the widget; a
// page that only shows a model has inspector.js alone and is smaller.

import { render } from "./inspector.js";
import { editingOf } from "./steering.js";

const renderEditor = (parts) => render(parts, editingOf);

export default { render: renderEditor };
