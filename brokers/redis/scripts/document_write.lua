-- document_write: write fields of a definition that people make; it never expires.
-- args: { kind, id, {field, value, ...}, {field to remove, ...}, name or '', { expected generation or -1, only if new },
--         token of this write, who }
-- returns: { generation, '' }, or what hinders it: { generation that is there, 'new' | 'changed' | 'name' }
-- needs: documents ends limit_watch
local kind, id, fields, unwanted, name, rules, token, who = unpack(args, 1, 8)
local expected, only_new = unpack(rules)
local definition = document(kind, id)
local generation, last_token, name_before = unpack(look(definition, 'g', 'w', 'n'))
generation = number(generation, 0)

if last_token == token then return cmsgpack.pack({ generation, '' }) end -- a repeated write
if only_new and last_token then return cmsgpack.pack({ generation, 'new' }) end
if expected >= 0 and expected ~= generation then return cmsgpack.pack({ generation, 'changed' }) end
if name ~= '' then
  local holder = look(names_of(kind), name)[1]
  if holder and holder ~= id and look(document(kind, holder), 'n')[1] == name then
    return cmsgpack.pack({ generation, 'name' })
  end
end

-- What people see change: `p` says whether it is paused.
local differs, pause = {}, nil
for at = 1, #fields, 2 do
  local before = look(definition, fields[at])[1]
  if before ~= fields[at + 1] then
    if fields[at] ~= 'p' then differs[#differs + 1] = fields[at]
    elseif fields[at + 1] == '1' then pause = 'paused'
    elseif before == '1' then pause = 'resumed' end
  end
end
for first = 1, #fields, 1000 do
  set_facts(definition, unpack(fields, first, math.min(first + 999, #fields)))
end
if #unwanted > 0 then redis.call('HDEL', definition, unpack(unwanted)) end
set_facts(definition, 'w', token, 'at', now)
generation = count_up(definition, 'g', 1)
if name ~= '' and name ~= name_before then
  if name_before then forget_name(kind, name_before, id) end
  set_facts(definition, 'n', name)
  set_facts(names_of(kind), name, id)
elseif name ~= '' then
  set_facts(names_of(kind), name, id) -- the index may have been lost
end
put('docs:' .. kind, now, id)
note_in_audit(who, generation == 1 and 'created' or 'changed', kind, id)
name = name ~= '' and name or name_before
if generation == 1 then
  definition_happened('created', kind, id, name)
elseif #differs > 0 or #unwanted > 0 or (name ~= name_before) then
  definition_happened('updated', kind, id, name)
end
if pause then definition_happened(pause, kind, id, name) end
if kind == 'limit' then limit_changed(id) end
close_script()
return cmsgpack.pack({ generation, '' })
