-- fields: some fields of the records of runs.
-- args: { {run, ...}, {field, ...} }
-- returns: { {value, ...}, ... } false for what is not there
-- needs: blocks
local runs, wanted = unpack(args)
local rows = {}
for at, id in ipairs(runs) do rows[at] = blocks.look(id, unpack(wanted)) end
return cmsgpack.pack(rows)
