-- journal: what changed in a script becomes one entry, from which lists of runs and histories are made. It is trimmed by
-- age (tidy.lua), and is no more than an index: the record is what is true.
local function append_to_journal(field, packed, names)
  local function add()
    if names then return redis.pcall('XADD', P .. 'journal', '*', field, packed, 'n', names) end
    return redis.pcall('XADD', P .. 'journal', '*', field, packed)
  end
  local reply = add()
  if asked(reply, 'journal') ~= reply then add() end
end

local ended_runs, submitted_runs, changed_flows, names_of_states = {}, {}, {}, {}
blocks.new, blocks.ended = {}, {} -- name, how many calls, ...; name, { places, letters }, ...

local function changed(id, status)
  local n = #ended_runs
  ended_runs[n + 1] = id
  ended_runs[n + 2] = status
end

-- The name of a state is written where it is not its type's own: 'RUNNING' is Running.
local function changed_flow(id, state_type, name)
  local n = #changed_flows
  changed_flows[n + 1] = id
  changed_flows[n + 2] = state_type
  if name == string.sub(state_type, 1, 1) .. string.lower(string.sub(state_type, 2)) then name = nil end
  names_of_states[#names_of_states + 1] = name or ''
  if name then names_of_states.some = true end
end

function blocks.changed(block, places, letters)
  -- an older reader takes none of this for a run
  local n = #blocks.ended
  blocks.ended[n + 1] = block
  blocks.ended[n + 2] = { places, letters }
end

blocks.MOST_CHANGES = 512 -- of calls of blocks in one entry: it is read whole

function blocks.append_in_parts(field, pairs_of_words)
  local part, size = {}, 0
  for at = 1, #pairs_of_words, 2 do
    local block, word = pairs_of_words[at], pairs_of_words[at + 1]
    local changes = type(word) == 'number' and word or #unpack(word, 1, 1)
    if part[1] and size + changes > blocks.MOST_CHANGES then
      append_to_journal(field, cmsgpack.pack(part))
      part, size = {}, 0
    end
    part[#part + 1] = block
    part[#part + 1] = word
    size = size + changes
  end
  if part[1] then append_to_journal(field, cmsgpack.pack(part)) end
end

function blocks.write_journal()
  blocks.append_in_parts('S', blocks.new)
  blocks.append_in_parts('E', blocks.ended)
end

local function write_journal()
  if blocks.new[1] or blocks.ended[1] then blocks.write_journal() end
  if submitted_runs[1] then append_to_journal('s', cmsgpack.pack(submitted_runs)) end
  if ended_runs[1] then append_to_journal('e', cmsgpack.pack(ended_runs)) end
  if changed_flows[1] then
    local some = names_of_states.some
    names_of_states.some = nil -- a list again
    append_to_journal('f', cmsgpack.pack(changed_flows), some and cmsgpack.pack(names_of_states))
  end
end
