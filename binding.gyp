{
  "targets": [
    {
      "target_name": "pagewarp",
      "type": "none",
      "actions": [
        {
          "action_name": "cmake",
          "inputs": ["CMakeLists.txt", "scripts/cmake-build.mjs"],
          "outputs": ["<(PRODUCT_DIR)/.always-run"],
          "action": ["node", "scripts/cmake-build.mjs", "--out", "<(PRODUCT_DIR)", "--config", "<(CONFIGURATION_NAME)", "--arch", "<(target_arch)"]
        }
      ]
    }
  ]
}
