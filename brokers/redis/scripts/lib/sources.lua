-- sources: calls of a block that wait for others. Its `u` has { first, last, source, place, till, flags } each: call `first`
-- waits for the one at `place` of the block `source`, the next one for the next one, and so on until `last`, `till`; if they
-- are shared, each waits for all from `place` to `till`, or for the run `source`. Flags: 1 goes on after a failure, 2 takes
-- the result, 4 shared. `W` has a byte of each call: 1 while it waits. chains.lua releases them.
-- needs: tickets
function blocks.waits(block, place) return block.waiting and string.byte(block.waiting, place + 1) == 1 end

blocks.sources = setmetatable({}, { __index = function(sources, name) -- when the first of them is called: most need none
  setmetatable(sources, nil)

  sources.MOST = 16

  function sources.read_one(item, count)
    local first, last, source, place, till, flags = unpack(item, 1, 6)
    for _, value in ipairs({ first or false, last or false, place or false, till or false, flags or false }) do
      if type(value) ~= 'number' or value % 1 ~= 0 or value < 0 or value >= blocks.MOST then return nil end
    end
    if type(source) ~= 'string' or source == '' or not flags or first > last or last >= count then return nil end
    local shared = flags >= 4
    if till < place or not shared and till - place ~= last - first then return nil end
    return { first = first, last = last, source = source, place = place, till = till, shared = shared,
      goes_on = flags % 2 == 1, in_body = flags % 4 >= 2, is_block = blocks.is_name(source) }
  end

  function sources.of(block)
    -- nil where they are damaged
    if block.found_sources == nil then
      local found, list = {}, unpacked(block.sources)
      for at = 1, math.min(#list, sources.MOST + 1) do
        found[at] = type(list[at]) == 'table' and sources.read_one(list[at], block.count) or nil
      end
      block.found_sources = #found == #list and #list > 0 and #list <= sources.MOST and found
    end
    return block.found_sources or nil
  end

  function sources.upstream_at(source, place)
    -- the run at a place of a source
    return source.is_block and blocks.member(source.source, place) or source.source
  end

  function sources.taken_at(block, place)
    -- of one of its calls: the runs whose results it takes
    local ids = {}
    for _, source in ipairs(block.sources and sources.of(block) or {}) do
      if source.in_body and source.first <= place and place <= source.last then
        local from = source.place + (source.shared and 0 or place - source.first)
        for at = from, source.shared and source.till or from do ids[#ids + 1] = sources.upstream_at(source, at) end
      end
    end
    return ids
  end

  function sources.stop_waiting(block, places)
    if not block.waiting then return end
    local waiting = { string.byte(block.waiting, 1, -1) }
    for _, place in ipairs(places) do waiting[place + 1] = 0 end
    block.waiting = string.char(unpack(waiting))
    redis.call('HSET', block.hash, 'W', block.waiting)
    if sources.some_wait(block) then return end
    drop('chained', block.name)
    sources.let_go(block, false)
  end

  function sources.let_go(block, is_over)
    -- None of its calls waits any more: how others ended is needed no more, nor what they returned once it is over.
    if not blocks.source_needed_no_more then return put('chained', now, block.name) end -- without keeping.lua: the mover does it
    local list, taken = sources.of(block) or {}, {}
    for _, source in ipairs(list) do taken[source.source] = taken[source.source] or source.in_body and not is_over end
    for _, source in ipairs(list) do
      if not taken[source.source] then blocks.source_needed_no_more(source, block.name) end
    end
  end

  function sources.some_wait(block) return block.waiting and string.find(block.waiting, '\1', 1, true) end

  function sources.close(block)
    -- whether none of its calls waits any more; they need nobody's results then, those that were moved out by themselves
    if sources.some_wait(block) then return false end
    sources.let_go(block, true)
    return true
  end

  function sources.take_along(block, place, id, letter)
    -- packed, or false for none
    local ids = block.sources and sources.taken_at(block, place) or {}
    if not ids[1] then return false end
    for _, source in ipairs(SETTLED[letter] and {} or sources.of(block)) do
      local takes = source.in_body and source.first <= place and place <= source.last
      local upstream = takes and source.is_block and blocks.read(source.source)
      if upstream then blocks.keep(upstream, id) end
      if takes and not source.is_block then redis.pcall('SADD', P .. 'n:' .. source.source, id) end
    end
    return cmsgpack.pack(ids)
  end

  return sources[name]
end })
